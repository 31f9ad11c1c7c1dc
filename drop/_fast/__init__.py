"""The native extensions; there is no other implementation of what they do.

One that is missing fails where it is imported, with the command that builds it, instead of the
bare "No module named" that would send the reader looking for a package.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

EXTENSIONS = ("reactor", "codec", "logger", "spawn", "load", "herald", "_linux")


class _MissingExtension:
    """The last finder in line: it is asked only when no other one found the module."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ImportError for one of our extensions; knows nothing about anything else."""
        package, _, name = fullname.rpartition(".")
        if package != __name__ or name not in EXTENSIONS:
            return None
        raise ImportError(
            f"{fullname}: the native extension is not built for {sys.implementation.cache_tag} "
            f"in {Path(__file__).parent}; in a source tree run `{sys.executable} build_ext.py "
            f"{name}` (or `make setup`), else `pip install --force-reinstall drop-platform`",
            name=fullname,
        )


sys.meta_path.append(_MissingExtension)
