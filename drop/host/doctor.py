"""`drop doctor`: which protections the workers of a node that is started here would have.

Each is on, or off with the reason and what to do about it. Looks and tries; changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from drop.host import accounts, cgroups, confinement
from drop.host.accounts import UnknownUser
from drop.host.capabilities import may_switch_users
from drop.host.confinement import Offers
from drop.host.linux import missing

RUN_AS_ROOT = "run the node as the system service or as root; workers then run as another user"
GROUP_TEXTS = {
    "memory": (
        "limit of memory",
        "`memory` in a flow; what exceeds it is killed, and that is reported",
    ),
    "pids": ("limit of processes", "fork bombs end, and what a worker leaves behind is killed"),
    "cpu": ("weight of the CPU", "`limits: {cpu: N}` in a flow"),
}


@dataclass(frozen=True, slots=True)
class Protection:
    name: str
    on: bool
    detail: str
    """What it does; where it is off or only partly on, why."""
    remedy: str = ""


def examine(worker_user: str | None = None) -> list[Protection]:
    """`worker_user`: as in the node's configuration."""
    offers = confinement.probe()
    return [
        *_always(),
        _user(offers, worker_user),
        _tried(
            offers,
            confinement.NO_NEW_PRIVILEGES,
            "no new privileges",
            "setuid programs give nothing",
        ),
        Protection("limits of a process", True, "open files, size of files, core dumps"),
        *_groups(offers),
        _tried(
            offers, confinement.PRIVATE_TMP, "private /tmp", "and /var/tmp, empty, for each worker"
        ),
        _read_only(offers),
        _tried(
            offers,
            confinement.NO_NETWORK,
            "network: none",
            "in a flow: nothing but a loopback interface",
        ),
        _tried(
            offers,
            confinement.MEMORY_PRIORITY,
            "out-of-memory priority",
            "workers are ended before the node",
        ),
    ]


def _always() -> list[Protection]:
    """What needs no rights; only an old kernel can be in the way."""
    lacks = missing()
    detail = "a worker gets stdin, stdout and stderr and nothing else"
    if "close_range" in lacks:
        detail += f"; {lacks['close_range']}"
    return [
        Protection("own session", True, "a worker's whole process group is signalled"),
        Protection("death with the node", True, "no worker outlives a node that was killed"),
        Protection("closed descriptors", True, detail),
    ]


def _user(offers: Offers, worker_user: str | None) -> Protection:
    name = "separate user"
    if not may_switch_users():
        me = accounts.own().name
        reason = f"the node would run as {me}, so workers run as {me}, too"
        return Protection(name, False, reason, RUN_AS_ROOT)
    if confinement.OTHER_USER in offers.missing:
        reason = offers.missing[confinement.OTHER_USER]
        return Protection(name, False, reason, "give the container CAP_SETUID and CAP_SETGID")
    try:
        account = accounts.for_workers(None, worker_user)
    except UnknownUser as error:
        return Protection(name, False, f"worker_user: {error}", "create it, or name another")
    if account.uid == 0:
        return Protection(name, False, "worker_user is root", "name another, or none")
    if accounts.default_is_shared(worker_user):
        return Protection(
            name,
            True,
            "no user drop; nobody is used, and others of this machine may be using it, too",
            "useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin drop",
        )
    return Protection(name, True, f"workers run as {account.name}")


def _groups(offers: Offers) -> list[Protection]:
    problems = cgroups.survey()
    found = []
    for controller, (name, use) in GROUP_TEXTS.items():
        reason = problems.get(controller)
        if reason is None:
            found.append(Protection(name, True, use))
        elif controller == "pids" and offers.uid != 0:
            coarse = "only by the kernel's count of all tasks of this user; " + reason
            found.append(Protection(name, True, coarse, _group_remedy(reason)))
        else:
            found.append(Protection(name, False, reason, _group_remedy(reason)))
    return found


def _group_remedy(reason: str) -> str:
    return "" if cgroups.DELEGATE in reason else RUN_AS_ROOT


def _tried(offers: Offers, key: str, name: str, detail: str) -> Protection:
    reason = offers.missing.get(key)
    if reason is None:
        return Protection(name, True, detail)
    return Protection(name, False, reason, _remedy(offers))


def _read_only(offers: Offers) -> Protection:
    name, use = "read-only file system", "`filesystem: read-only` in a flow"
    if confinement.READ_ONLY not in offers.missing:
        return Protection(name, True, f"{use}; by mounts")
    if confinement.LANDLOCK not in offers.missing:
        return Protection(name, True, f"{use}; by landlock")
    reason = f"{offers.missing[confinement.LANDLOCK]}; {offers.missing[confinement.READ_ONLY]}"
    return Protection(name, False, reason, _remedy(offers))


def _remedy(offers: Offers) -> str:
    return RUN_AS_ROOT if offers.uid != 0 else "see docs/containment.md"
