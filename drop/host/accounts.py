"""The users that workers run as: found by name or number, and which one when nobody says.

A node that may switch users runs its workers as somebody else: the function's `user`, else the
configuration's `worker_user`, else `drop`, else `nobody`. Any other node can only run them as
itself. Only a node of root's ever runs one as root.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from drop.host.capabilities import may_switch_users

WORKER_USER = "drop"
LAST_RESORT = "nobody"
NO_GROUP = 65534  # by convention, where the account is a bare number


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int
    home: str
    """A directory that exists."""


class UnknownUser(ValueError):
    """There is no such user; the text says what to do."""


def find(name: str) -> Account:
    """By name, or by number, which needs no account. Raises UnknownUser."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        if name.isdecimal() and int(name) < 0xFFFFFFFF:
            return Account(name, int(name), NO_GROUP, "/")
        raise UnknownUser(f"there is no user {name!r}; useradd --system {name}") from None
    home = entry.pw_dir if os.path.isdir(entry.pw_dir) else "/"
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, home)


def own() -> Account:
    """The user of this process."""
    return find(str(os.geteuid()))


def for_workers(user: str | None, configured: str | None) -> Account:
    """Who the workers of a function run as that says `user`, on a node that says `configured`.

    Raises UnknownUser, also for somebody whom this node may not become.
    """
    mine = own()
    if not may_switch_users():
        asked = find(user) if user else mine
        if asked.uid != mine.uid:
            raise UnknownUser(
                f"workers cannot run as {user!r}: the node runs as {mine.name}; run it as the "
                f"system service or as root, or leave `user` out"
            )
        return mine
    chosen = _choose(user or configured)
    if chosen.uid == 0 and mine.uid != 0:
        raise UnknownUser(
            f"workers cannot run as root: the node runs as {mine.name}, and what it starts shall "
            f"never have more rights than itself; name another `user`"
        )
    return chosen


def _choose(name: str | None) -> Account:
    if name:
        return find(name)
    try:
        return find(WORKER_USER)
    except UnknownUser:
        return find(LAST_RESORT)


def fault_of(user: str, configured: str | None = None) -> str:
    """Why a function may not say this `user`; "" when it may. For those who load flows."""
    try:
        for_workers(user, configured)
    except UnknownUser as error:
        return str(error)
    return ""


def default_is_shared(configured: str | None) -> bool:
    """Workers run as `nobody` because there is nobody better, not because somebody says so."""
    if configured is not None or not may_switch_users():
        return False
    return for_workers(None, None).name == LAST_RESORT
