"""What goes wrong with packages, apart from faults in files that people write."""

from __future__ import annotations


class PackageError(Exception):
    """The text says what happened, where, and what to do.

    `kind` is short and for programs: bad_package, conflict, not_found, in_use, build, unreachable.
    """

    def __init__(self, text: str, kind: str = "bad_package") -> None:
        super().__init__(text)
        self.kind = kind
