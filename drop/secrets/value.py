"""A secret: its name, its value, and what is wrong with either. Pure.

The value is wrapped so that nothing which writes text (a log, an error, a traceback with its
variables, JSON) can show it by accident: there is one way to it, and that is called `reveal`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Literal, NoReturn

SECRET_BYTES_MAX = 1 << 20  # certificates and key stores fit; a tmpfs holds a thousand of them
SECRETS_MAX = 4096  # of one node; as many as a flow may have functions

#: As the flow file takes it (drop.flow.spec); a name is the name of a file, so it is kept strict.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
A_NAME = "1 to 128 of A-Z a-z 0-9 _, with no digit first"

Kind = Literal["bad_request", "not_found", "conflict", "storage"]


class SecretError(Exception):
    """A secret cannot be kept, found or removed; the text never holds a value."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Secret:
    """Bytes that are not shown. Equal to another one of the same bytes, compared in even time."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        """Raises SecretError: nothing, or more than SECRET_BYTES_MAX."""
        if not value:
            text = "the value is empty; is that the output of a command that failed?"
            raise SecretError("bad_request", text)
        if len(value) > SECRET_BYTES_MAX:
            text = f"the value is too large; at most {SECRET_BYTES_MAX} bytes"
            raise SecretError("bad_request", text)
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The value, for who writes it where it belongs and nowhere else."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"<secret of {len(self._value)} bytes>"

    def __format__(self, specification: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def check_name(name: str) -> None:
    """Raises SecretError. A faulty name is not repeated: NAME=VALUE is a likely mistake."""
    if not _NAME.match(name):
        raise SecretError("bad_request", f"found no valid name of a secret; expected {A_NAME}")


def is_name(name: str) -> bool:
    return _NAME.match(name) is not None


def not_set(names: Iterable[str]) -> str:
    """What is missing and how to change that."""
    listed = list(names)
    what = "the secret" if len(listed) == 1 else "the secrets"
    verb = "is" if len(listed) == 1 else "are"
    how = " and ".join(f"`drop secret set {name}`" for name in listed)
    return f"{what} {', '.join(listed)} {verb} not set on this node: {how}"
