"""What packages are called, and which version comes after which. Pure.

A reference is NAME or NAME:VERSION. Without a version it means the newest one that is installed;
a version with a suffix behind "-" (2.0.0-beta) comes before the release, and is only the newest
where there is no release at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

VERSION_CHARACTERS_MAX = 64

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
A_NAME = "a package's name: 1 to 64 of A-Z a-z 0-9 _ . - (a letter or digit first)"
VERSION_PATTERN = (
    r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?(\+[0-9A-Za-z.-]+)?$"
)
A_VERSION = "a version such as 1.2.0 or 2.0.0-beta.1"

_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")
_VERSION = re.compile(VERSION_PATTERN.removesuffix("$") + r"\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A package as people name it; no version: the newest."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def parse_reference(text: str) -> Reference | None:
    """None when it is no reference."""
    name, colon, version = text.partition(":")
    if not is_name(name) or (colon and not is_version(version)):
        return None
    return Reference(name, version if colon else None)


def is_name(text: str) -> bool:
    return _NAME.match(text) is not None


def is_version(text: str) -> bool:
    return len(text) <= VERSION_CHARACTERS_MAX and _VERSION.match(text) is not None


def newest(versions: Iterable[str]) -> str | None:
    """The last release; the last of all where there is none; None of nothing."""
    known = sorted(versions, key=order)
    releases = [each for each in known if "-" not in each.partition("+")[0]]
    best = releases or known
    return best[-1] if best else None


def order(version: str) -> tuple[object, ...]:
    """What versions are sorted by: the precedence of semver.org, missing numbers taken as 0.

    Versions that differ only in how they are written (1.0 and 1.0.0) are sorted by their text.
    """
    core, _, suffix = version.partition("+")[0].partition("-")
    numbers = [int(each) for each in core.split(".")]
    padded = tuple(numbers + [0] * (4 - len(numbers)))
    return padded, not suffix, tuple(_part(each) for each in suffix.split(".")), version


def _part(text: str) -> tuple[bool, int, str]:
    """Numbers come before words, and are compared as numbers."""
    return (False, int(text), "") if text.isascii() and text.isdigit() else (True, 0, text)
