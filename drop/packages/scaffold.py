"""`drop fun init`: a new directory with a function in some language that runs at once.

The templates are data: `templates/LANGUAGE/FILE.template`, in which @NAME@ is the function's name.
A program in C, Go or Rust is built by the `build` step of its function.yaml.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from drop.packages.faults import PackageError
from drop.packages.manifest import Manifest, load_manifest
from drop.packages.names import A_NAME, is_name
from drop.problems import similar

SUFFIX = ".template"

#: Other names that people give to the languages.
ALIASES = {
    "py": "python",
    "python3": "python",
    "sh": "bash",
    "js": "node",
    "javascript": "node",
    "nodejs": "node",
    "golang": "go",
    "rs": "rust",
    "rb": "ruby",
    "pl": "perl",
    "c++": "cpp",
}


def languages() -> list[str]:
    return sorted(each.name for each in _templates().iterdir() if each.is_dir())


def init(directory: Path, language: str) -> Manifest:
    """Make the directory, named like the function. Raises PackageError, OSError."""
    name = directory.name
    if not is_name(name):
        raise PackageError(f"{name!r} cannot be the name of a function; expected {A_NAME}", "usage")
    chosen = ALIASES.get(language.lower(), language.lower())
    if chosen not in languages():
        hint = similar(chosen, [*languages(), *ALIASES])
        known = ", ".join(languages())
        raise PackageError(f"no template for {language!r}{hint}; there are: {known}", "usage")
    if os.path.lexists(directory):
        raise PackageError(f"{directory} is there already; give another name", "conflict")
    new = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{name}-"))
    try:
        new.chmod(0o777 & ~_umask())
        for template in (_templates() / chosen).iterdir():
            _write(template, new, name)
        os.rename(new, directory)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return load_manifest(directory)


def missing_tool(manifest: Manifest) -> str | None:
    """The program that the function, or its build, needs and this machine does not have."""
    commands = [*manifest.keys.build, manifest.function.cmd]
    for command in commands:
        if command and "/" not in command[0] and shutil.which(command[0]) is None:
            return command[0]
    return None


def _write(template: Traversable, directory: Path, name: str) -> None:
    if not template.name.endswith(SUFFIX):
        return
    text = template.read_text(encoding="utf-8").replace("@NAME@", name)
    file = directory / template.name.removesuffix(SUFFIX)
    file.write_text(text, encoding="utf-8")
    if text.startswith("#!"):
        file.chmod(0o777 & ~_umask())


def _umask() -> int:
    """The kernel tells it only to those who change it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _templates() -> Traversable:
    return resources.files("drop.packages") / "templates"
