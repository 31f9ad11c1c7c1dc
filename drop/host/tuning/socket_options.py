"""The options of the node's own TCP sockets: which are set, which are not, and why. Pure.

What is set on a listening socket, the accepted ones inherit (Linux clones the socket). The node
sets what is said here (drop.host.sockets); `drop tune` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drop.host.tuning.advice import BACKLOG, Machine, Profile

BUSY_POLL_US = 50
"""What net.rst recommends for busy_read and busy_poll."""

BUSY_READ, BUSY_POLL, SOMAXCONN = "net.core.busy_read", "net.core.busy_poll", "net.core.somaxconn"
READ = (BUSY_READ, BUSY_POLL, SOMAXCONN)
"""The sysctls that the choice rests on."""


@dataclass(frozen=True, slots=True)
class Option:
    name: str  # SO_RCVBUF
    value: int | None  # None: left to the kernel
    why: str


def socket_options(
    machine: Machine, profile: Profile, sysctls: Mapping[str, int | None]
) -> tuple[Option, ...]:
    """`sysctls` by key, None for what this kernel or namespace does not have."""
    return (
        _backlog(sysctls),
        Option("TCP_NODELAY", 1, "an answer leaves at once; the reactor makes batches itself"),
        Option(
            "SO_RCVBUF",
            None,
            "the kernel fits it to the link up to tcp_rmem; a value of ours would stop that",
        ),
        Option(
            "SO_SNDBUF",
            None,
            "the kernel fits it to the link up to tcp_wmem; a value of ours would stop that",
        ),
        Option(
            "SO_REUSEPORT",
            None,
            f"it shares connections among several reactors; a node has one, of {machine.cores}"
            " CPU(s), and two nodes on one port would go unnoticed",
        ),
        _busy_poll(profile, sysctls),
    )


def _backlog(sysctls: Mapping[str, int | None]) -> Option:
    limit = sysctls.get(SOMAXCONN)
    if limit is not None and limit < BACKLOG:
        return Option("backlog", limit, f"{BACKLOG} is asked for; {SOMAXCONN} allows {limit}")
    return Option("backlog", BACKLOG, "so many clients may connect at the same moment")


def _busy_poll(profile: Profile, sysctls: Mapping[str, int | None]) -> Option:
    """The reactor waits in epoll, and epoll polls only while net.core.busy_poll says so."""
    name = "SO_BUSY_POLL"
    if profile is not Profile.LATENCY:
        return Option(name, None, "it costs CPU while nothing comes: profile latency only")
    if sysctls.get(BUSY_READ) is None or sysctls.get(BUSY_POLL) is None:
        return Option(name, None, "not in this kernel or network namespace")
    if not sysctls[BUSY_POLL]:
        why = f"{BUSY_POLL} is 0, and epoll polls for nobody then; it costs a CPU, so that is yours"
        return Option(name, None, f"{why} to decide: {BUSY_POLL_US} there switches it on")
    return Option(name, BUSY_POLL_US, f"microseconds; epoll polls the card since {BUSY_POLL} is on")
