"""Which files of a directory belong into a package: patterns as in .gitignore. Pure.

A pattern without a slash matches a name at any depth; one with a slash matches the whole path from
the top. `*` and `?` stay within a name, `**` crosses directories. What matches a directory takes
everything in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What builds, editors and this program leave behind, and what nobody means to ship.
LITTER = (
    ".*",
    "__pycache__",
    "*.pyc",
    "*.o",
    "*.dropfn",
    "*~",
    "#*#",
)


class Chooser:
    """Decides by the path alone; `/` between names, nothing in front."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        """No pattern in `include`: everything but LITTER. What is named there is no litter."""
        self._include = [_compile(each) for each in include]
        self._litter = [] if self._include else [_compile(each) for each in LITTER]
        self._exclude = [_compile(each) for each in exclude]

    def takes(self, path: str) -> bool:
        """Whether a file belongs to the package."""
        if self.prunes(path):
            return False
        return not self._include or any(_matches(each, path) for each in self._include)

    def prunes(self, path: str) -> bool:
        """Whether a directory need not be looked into: nothing in it will be taken."""
        return any(_matches(each, path) for each in (*self._exclude, *self._litter))


def _matches(pattern: re.Pattern[str], path: str) -> bool:
    """The path itself, or a directory on the way to it."""
    names = path.split("/")
    return any(pattern.match("/".join(names[:count])) for count in range(len(names), 0, -1))


def _compile(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern.rstrip("/")
    body = "".join(map(_translate, re.findall(r"\*\*/|\*\*|.", pattern.strip("/"), re.DOTALL)))
    return re.compile(("" if anchored else r"(?:.*/)?") + body + r"\Z", re.DOTALL)


def _translate(piece: str) -> str:
    special = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return special.get(piece) or re.escape(piece)
