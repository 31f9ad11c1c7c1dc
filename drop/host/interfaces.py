"""Which network interface a node uses, and why: decided from what the kernel has now. Pure.

The one that was named (DROP_IFACE) or none: while it cannot serve, the node waits for it and takes
no other, since a machine with two networks names one of them for a reason. Nobody named one: that
with the default route, IPv4 before IPv6 (their metrics cannot be compared), lowest metric first,
which is up and has an address. Otherwise loopback, where no other machine can be seen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from drop.errors import ConfigurationError

NAME_BYTES_MAX = 15  # IFNAMSIZ without its NUL
ADDRESSES_MAX = 64  # of one interface; a node announces 8 of them
CANDIDATES_NAMED_MAX = 4  # in a text for people

ALONE = "other machines cannot see this node"
_HOW = "name one: DROP_IFACE=NAME in the environment or in /etc/drop-env"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Interface:
    """One as the kernel has it now."""

    name: str
    index: int
    up: bool
    """Set up by the administrator, and its cable (if it has one) is in."""
    loopback: bool
    multicast: bool
    addresses: tuple[str, ...]
    """Usable ones in the order of `ranked`, without their scope."""
    mac: str
    mtu: int


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """Where packets go that no other route wants."""

    interface: int
    family: int  # 4 or 6
    metric: int
    gateway: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The interface that somebody named, and where: "/etc/drop-env:3", "environment"."""

    name: str
    origin: str
    fault: ConfigurationError | None = None
    """Why there can be no interface of that name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    interface: Interface
    verdict: str


@dataclass(frozen=True, slots=True)
class Choice:
    interface: Interface | None
    """None: there is nothing to send by; the node waits."""
    why: str
    warning: str | None
    candidates: tuple[Candidate, ...]


def choose(
    interfaces: Sequence[Interface], routes: Sequence[DefaultRoute], wanted: Wanted | None
) -> Choice:
    """The choice, with a verdict on every interface."""
    if wanted is not None:
        return _named(interfaces, wanted)
    by_index = {each.index: each for each in interfaces}
    ordered = sorted(routes, key=lambda route: (route.family, route.metric))
    for route in ordered:
        found = by_index.get(route.interface)
        if found is not None and not found.loopback and not _unusable(found):
            candidates = _candidates(interfaces, ordered, found, _route_text(route))
            why = f"{found.name} has the {_route_text(route)}"
            return Choice(found, why, _no_multicast(found), candidates)
    return _fallback(interfaces, ordered)


def ranked(addresses: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    """(address, temporary) in the order of their use: IPv4, then IPv6; global, unique local, link
    local; of one kind those that stay before those that change for privacy, else as they came."""
    order = sorted(addresses, key=lambda each: (*_rank(each[0]), each[1]))
    return tuple(address for address, _ in order)[:ADDRESSES_MAX]


def document(choice: Choice, wanted: Wanted | None) -> Document:
    """What `node.interfaces` answers and `drop node interfaces --json` prints."""
    return {
        "choice": choice.interface.name if choice.interface else None,
        "why": choice.why,
        "warning": choice.warning,
        "wanted": {"name": wanted.name, "origin": wanted.origin} if wanted else None,
        "candidates": [
            {
                "name": each.interface.name,
                "state": "up" if each.interface.up else "down",
                "addresses": list(each.interface.addresses),
                "verdict": each.verdict,
            }
            for each in choice.candidates
        ],
    }


def _named(interfaces: Sequence[Interface], wanted: Wanted) -> Choice:
    found = next((each for each in interfaces if each.name == wanted.name), None)
    named = f"named by DROP_IFACE ({wanted.origin})"
    others = f"not the one that DROP_IFACE names ({wanted.name})"
    fault = _fault(wanted, found)
    if found is not None and fault is None:
        verdicts = _verdicts(interfaces, others, found, f"chosen: {named}")
        warning = f"{found.name} is loopback: {ALONE}" if found.loopback else _no_multicast(found)
        return Choice(found, f"{found.name} is {named}", warning, verdicts)
    assert fault is not None
    verdicts = _verdicts(interfaces, others, found, f"waited for: {fault}")
    warning = f"{ALONE} until {wanted.name} can be used; {_remedy(wanted, interfaces)}"
    return Choice(None, f"waiting for {wanted.name}, {named}: {fault}", warning, verdicts)


def _fault(wanted: Wanted, found: Interface | None) -> str | None:
    """Why the named interface cannot serve."""
    if wanted.fault is not None:
        return wanted.fault.message
    if found is None:
        return "there is no such interface"
    return _unusable(found)


def _remedy(wanted: Wanted, interfaces: Sequence[Interface]) -> str:
    if wanted.fault is not None:
        return f"expected {wanted.fault.expected}"
    names = _usable_names(interfaces)
    return f"interfaces that could be named instead: {names}" if names else "no other could"


def _fallback(interfaces: Sequence[Interface], routes: Sequence[DefaultRoute]) -> Choice:
    loopback = next((each for each in interfaces if each.loopback and not _unusable(each)), None)
    why = _no_route(interfaces, routes)
    warning = f"{ALONE}: {why}; {_how(interfaces)}"
    if loopback is None:
        candidates = _candidates(interfaces, routes, None, "")
        return Choice(None, f"{why}, and loopback is not up", warning, candidates)
    candidates = _candidates(interfaces, routes, loopback, "nothing else can be used")
    return Choice(loopback, f"{why}, so loopback ({loopback.name})", warning, candidates)


def _no_route(interfaces: Sequence[Interface], routes: Sequence[DefaultRoute]) -> str:
    """Why no default route is of use, by its interface."""
    by_index = {each.index: each for each in interfaces}
    reasons = {
        found.name: reason
        for route in routes
        if (found := by_index.get(route.interface)) and (reason := _unusable(found))
    }
    if not reasons:
        return "there is no default route"
    return ", ".join(f"{name} has the default route and {why}" for name, why in reasons.items())


def _how(interfaces: Sequence[Interface]) -> str:
    names = _usable_names(interfaces)
    return f"{_HOW} ({names})" if names else "set up an interface with an address"


def _usable_names(interfaces: Sequence[Interface]) -> str:
    """`eth1 (192.168.50.4), ...`: what a person could name."""
    usable = [each for each in interfaces if not each.loopback and not _unusable(each)]
    shown = [f"{each.name}: {each.addresses[0]}" for each in usable[:CANDIDATES_NAMED_MAX]]
    return ", ".join([*shown, *(["..."] if len(usable) > CANDIDATES_NAMED_MAX else [])])


def _unusable(interface: Interface) -> str | None:
    """Reads behind "eth1 ..."."""
    if not interface.up:
        return "is down"
    if not interface.addresses:
        return "has no usable address"
    return None


def _no_multicast(interface: Interface) -> str | None:
    if interface.multicast:
        return None
    return (
        f"{interface.name} carries no multicast: other machines see this node only when the hosts"
        " file lists them"
    )


def _candidates(
    interfaces: Sequence[Interface],
    routes: Sequence[DefaultRoute],
    chosen: Interface | None,
    reason: str,
) -> tuple[Candidate, ...]:
    first: dict[int, DefaultRoute] = {}
    for route in routes:
        first.setdefault(route.interface, route)
    return tuple(
        Candidate(
            each,
            f"chosen: {reason}" if each is chosen else _passed_over(each, first.get(each.index)),
        )
        for each in interfaces
    )


def _passed_over(interface: Interface, route: DefaultRoute | None) -> str:
    if reason := _unusable(interface):
        return reason
    if interface.loopback:
        return "loopback: only if nothing else can be used"
    if route is None:
        return "no default route"
    return f"another default route is preferred to its {_route_text(route)}"


def _verdicts(
    interfaces: Sequence[Interface], others: str, special: Interface | None, verdict: str
) -> tuple[Candidate, ...]:
    """One verdict on the named interface, another on all others."""
    return tuple(Candidate(each, verdict if each is special else others) for each in interfaces)


def _route_text(route: DefaultRoute) -> str:
    by = f" by {route.gateway}" if route.gateway else ""
    return f"IPv{route.family} default route{by}, metric {route.metric}"


def _rank(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    if parsed.is_link_local:
        return parsed.version, 2
    unique_local = isinstance(parsed, ipaddress.IPv6Address) and parsed.packed[0] & 0xFE == 0xFC
    return parsed.version, 1 if unique_local else 0
