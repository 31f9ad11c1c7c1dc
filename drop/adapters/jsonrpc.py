"""JSON-RPC messages as texts: what they are, and the same text with other ids in it. Pure.

A message that passes through is never written anew, since that would change how its numbers, its
spaces and its repeated keys are written. Instead the places of a few members are found, and what
stands there is replaced. Ids stay texts, too: `1`, `"1"` and `"a"` are three ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603

DIGITS_MAX = 64  # of an id; the ids of all known clients are below 40 characters
IDENTITY_MAX = 1024

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?\d+\Z")


class Malformed(Exception):
    """A text that is no message; `code` is that of JSON-RPC."""

    def __init__(self, code: int, text: str, identity: str = "null") -> None:
        super().__init__(text)
        self.code = code
        self.identity = identity


class Member(NamedTuple):
    """A member of an object: its value, and where that stands in the text."""

    value: Any  # numbers are texts as they were written
    start: int
    end: int


class Message(NamedTuple):
    """A request (method and id), a notification (method), or a response (id)."""

    text: str
    members: dict[str, Member]
    method: str  # empty: a response
    identity: str  # as written; empty: a notification

    @property
    def is_error(self) -> bool:
        """Whether it is a response that tells of an error."""
        return "error" in self.members

    def with_identity(self, identity: str) -> str:
        """The text with another id; it must have one."""
        return replaced(self.text, [(self.members["id"], identity)])

    def value(self, *path: str) -> Any:
        """What stands at `path`, None when there is nothing."""
        found: Any = {name: member.value for name, member in self.members.items()}
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def member(self, *path: str) -> Member | None:
        """The member at `path`, with its place."""
        members = self.members
        for name in path[:-1]:
            found = members.get(name)
            if found is None or not isinstance(found.value, dict):
                return None
            members, _ = members_at(self.text, found.start)
        return members.get(path[-1])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse_constant)


def members_at(text: str, start: int) -> tuple[dict[str, Member], int]:
    """The members of the object that begins at `start`, and where it ends. Raises ValueError.

    Of a key that is there twice the last counts, as everywhere; but not for an id, which two
    readers must not understand in two ways.
    """
    members: dict[str, Member] = {}
    at = _skip(text, start + 1)
    if text.startswith("}", at):
        return members, at + 1
    while True:
        if not text.startswith('"', at):
            raise ValueError(f"expected a key at character {at}")
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not text.startswith(":", at):
            raise ValueError(f"expected : at character {at}")
        at = _skip(text, at + 1)
        value, end = _DECODER.raw_decode(text, at)
        if key == "id" and key in members:
            raise ValueError("there are two ids")
        members[key] = Member(value, at, end)
        at = _skip(text, end)
        if text.startswith("}", at):
            return members, at + 1
        if not text.startswith(",", at):
            raise ValueError(f"expected , or }} at character {at}")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def parse(data: bytes) -> Message:
    """The message in one line of UTF-8. Raises Malformed."""
    try:
        text = data.decode()
        start = _skip(text, 0)
        if text.startswith("[", start):
            raise Malformed(INVALID_REQUEST, "batches are not taken; send one message at a time")
        if not text.startswith("{", start):
            raise ValueError("expected an object")
        members, end = members_at(text, start)
        if _skip(text, end) != len(text):
            raise ValueError("there is something behind the object")
    except RecursionError:
        raise Malformed(PARSE_ERROR, "the message is nested too deeply") from None
    except ValueError as error:
        raise Malformed(PARSE_ERROR, f"the message is not JSON: {error}") from None
    return _classify(text, members)


def _classify(text: str, members: dict[str, Member]) -> Message:
    identity, method = members.get("id"), members.get("method")
    written = "" if identity is None else text[identity.start : identity.end]
    if identity is not None and not is_identity(written) and (method or written != "null"):
        raise Malformed(INVALID_REQUEST, "the id is neither a text nor a whole number")
    if method is not None and not text.startswith('"', method.start):
        raise Malformed(INVALID_REQUEST, "the method is not a text", written or "null")
    if method is None and (identity is None or ("result" in members) == ("error" in members)):
        raise Malformed(INVALID_REQUEST, "neither a request, nor a response", written or "null")
    return Message(text, members, method.value if method else "", written)


def is_identity(written: str) -> bool:
    """Whether this, as it is written, may be an id."""
    if written.startswith('"'):
        return len(written) <= IDENTITY_MAX
    return len(written) <= DIGITS_MAX and _NUMBER.match(written) is not None


def replaced(text: str, changes: list[tuple[Member, str]]) -> str:
    """The text with other values at the places of members."""
    return "".join(_pieces(text, sorted(changes, key=lambda change: change[0].start)))


def _pieces(text: str, changes: list[tuple[Member, str]]) -> Iterator[str]:
    at = 0
    for member, value in changes:
        yield text[at : member.start]
        yield value
        at = member.end
    yield text[at:]


def error(identity: str, code: int, text: str, **data: object) -> str:
    """A response that tells of an error; the id is as it was written."""
    told: dict[str, object] = {"code": code, "message": text}
    if data:
        told["data"] = data
    return f'{{"jsonrpc":"2.0","id":{identity},"error":{json.dumps(told)}}}'


def result(identity: str, value: object) -> str:
    """A response; the id is as it was written."""
    return f'{{"jsonrpc":"2.0","id":{identity},"result":{json.dumps(value)}}}'


def request(identity: str, method: str, params: object) -> str:
    """A request; the id is as it was written."""
    told = f'"method":{json.dumps(method)},"params":{json.dumps(params)}'
    return f'{{"jsonrpc":"2.0","id":{identity},{told}}}'


def notification(method: str, params: object = None) -> str:
    """A notification."""
    rest = "" if params is None else f',"params":{json.dumps(params)}'
    return f'{{"jsonrpc":"2.0","method":{json.dumps(method)}{rest}}}'
