"""Which user of an image a container runs as. Pure.

In this order: what `--user` says; the image's user `drop`; the user that the image names; nobody
(65534). An image that names none would run as root elsewhere. Here it does not: a function is given
messages by others and needs no rights. One that does says `--user root`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drop.images.faults import ImageError

DROP = "drop"
NOBODY = 65534
ID_MAX = 0xFFFF_FFFE
LINES_MAX = 65_536  # of a passwd or group file; what comes behind is not looked at


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    uid: int
    gid: int
    home: str


def account_of(chosen: str | None, named: str, passwd: str, group: str) -> Account:
    """`chosen`: what --user says; `named`: what the image says. Raises ImageError."""
    if chosen:
        return _resolve(chosen, passwd, group)
    if any(user.name == DROP for user in _users(passwd)):
        return _resolve(DROP, passwd, group)
    return _resolve(named or f"{NOBODY}:{NOBODY}", passwd, group)


def _resolve(text: str, passwd: str, group: str) -> Account:
    """NAME, UID, and either with :GROUP or :GID behind it."""
    name, colon, group_name = text.partition(":")
    user = _user(name, passwd)
    if not colon:
        return Account(user.uid, user.gid, _groups_of(user, group), user.home)
    return Account(user.uid, _group(group_name, group), (), user.home)


def _user(name: str, passwd: str) -> _User:
    number = _number(name)
    for user in _users(passwd):
        if user.name == name or user.uid == number:
            return user
    if number is None:
        raise ImageError(
            f"the image has no user {name!r} in /etc/passwd: give --user a number, or a name it has"
        )
    return _User("", number, number if number == NOBODY else 0, "/")


def _group(name: str, group: str) -> int:
    for gid, group_name, _ in _groups(group):
        if group_name == name:
            return gid
    number = _number(name)
    if number is None:
        raise ImageError(f"the image has no group {name!r} in /etc/group: give --user a number")
    return number


def _groups_of(user: _User, group: str) -> tuple[int, ...]:
    return tuple(
        gid for gid, _, members in _groups(group) if user.name in members and gid != user.gid
    )


def _users(passwd: str) -> Iterator[_User]:
    for fields in _fields(passwd, 7):
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is not None and gid is not None:
            home = fields[5] if fields[5].startswith("/") else "/"
            yield _User(fields[0], uid, gid, home)


def _groups(group: str) -> Iterator[tuple[int, str, list[str]]]:
    for fields in _fields(group, 4):
        gid = _number(fields[2])
        if gid is not None:
            yield gid, fields[0], fields[3].split(",")


def _fields(text: str, count: int) -> Iterator[list[str]]:
    for line in text.splitlines()[:LINES_MAX]:
        fields = line.split(":")
        if len(fields) >= count and fields[0]:
            yield fields


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= ID_MAX else None
