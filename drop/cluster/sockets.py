"""The UDP sockets that beacons come and go by, for one interface.

For IPv4 and IPv6 each, where the interface has such an address:
- a unicast socket, bound to the address, by which everything is sent: so an answer finds its way
  back, and nobody else on this machine can have the address and the port;
- a multicast socket, bound to the group, which only receives. A socket on the unicast address gets
  nothing that is sent to a group, one on 0.0.0.0 would get what came by other interfaces.

A membership outlives a link that goes down and up, but not its interface: on one that was made anew
under its old name an old socket hears nothing. So a change means new sockets, whatever it was.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from drop.config_model import Discovery
from drop.host.interfaces import Interface

RECEIVE_BUFFER = 1 << 20
"""Bytes, of which the kernel makes twice as many, for its own share. A packet of 376 bytes counts
as up to 1 280; in one slice of 10 ms the herald lets 1 000 packets come. That is 1.25 MiB, and the
rest lets it be a slice late. 300 nodes need a hundredth of it."""

Destination = tuple[str, int, int]
"""Numeric address, port, scope id (0 but for what is only meant on one link)."""

Opened = tuple[int, tuple[Destination, ...]]
"""A descriptor, which is the caller's, and where beacons go by it."""

# Of Linux, without a name in Python's socket module.
_SO_RCVBUFFORCE, _SO_RXQ_OVFL = 33, 40
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_LINK_SCOPE_MAX = 2  # RFC 4291, 2.7: interface-local and link-local groups

_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO)
_CHANGE_PORT = (
    "another port: `discovery.port` in the configuration file, or DROP_DISCOVERY_PORT; all nodes"
    " that find each other by multicast have the same, others list ADDRESS:PORT in the hosts file"
)
_HINTS = {
    errno.EADDRINUSE: ("in use by another process", _CHANGE_PORT),
    errno.EACCES: ("not allowed: ports below 1024 need more rights", _CHANGE_PORT),
}


class SocketFault(Exception):
    """There can be no beacons: what happened, where, what to do. `str()` is for people."""

    def __init__(self, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.gone = gone
        """The interface or its address went away meanwhile: look at the interfaces again."""


def open_sockets(
    interface: Interface, discovery: Discovery, destinations: Sequence[Destination] | None
) -> list[Opened]:
    """What `Herald.set_sockets` takes, all non-blocking. Raises SocketFault, and leaves none open.

    `destinations`: the hosts that beacons go to, or None for multicast; then loopback has none,
    since another node on this machine has another port. The sockets that were there before have to
    be closed first: they have the same addresses.
    """
    opened: list[tuple[socket.socket, tuple[Destination, ...]]] = []
    multicast = destinations is None and interface.multicast and not interface.loopback
    try:
        for version, group in ((4, discovery.group), (6, discovery.group6)):
            address = _source(interface, version, group, destinations)
            if address is None:
                continue
            own = (address, discovery.port, _scope(address, interface))
            unicast = _unicast(own, interface, discovery)
            to = [(group, discovery.port, _scope(group, interface))] if multicast else destinations
            opened.append((unicast, _addressed(to or (), own, interface)))
            if multicast:
                opened.append((_multicast(group, interface, discovery.port), ()))
    except BaseException:
        for each, _ in opened:
            each.close()
        raise
    return [(each.detach(), to) for each, to in opened]


def unserved(interface: Interface, destinations: Sequence[Destination]) -> list[Destination]:
    """Hosts that nothing can be sent to: the interface has no address of their version."""
    versions = {_version(address) for address in interface.addresses}
    return [each for each in destinations if _version(each[0]) not in versions]


def _source(
    interface: Interface, version: int, group: str, destinations: Sequence[Destination] | None
) -> str | None:
    """The address that beacons come from.

    On one link that is the link-local one: every interface with IPv6 has it, so that every other
    can answer. Beyond the link nobody can.
    """
    own = [each for each in interface.addresses if _version(each) == version]
    if version == 4 or len(own) < 2:
        return own[0] if own else None
    if destinations is None:
        on_link = _group_scope(group) <= _LINK_SCOPE_MAX
    else:
        others = [each[0] for each in destinations if _version(each[0]) == version]
        on_link = bool(others) and all(_is_link_local(each) for each in others)
    return next((each for each in own if _is_link_local(each) == on_link), own[0])


def _addressed(
    destinations: Iterable[Destination], own: Destination, interface: Interface
) -> tuple[Destination, ...]:
    """Those of the own version, without ourselves: the same hosts file is on every node."""
    found = [
        (address, port, scope or _scope(address, interface))
        for address, port, scope in destinations
        if _version(address) == _version(own[0])
    ]
    return tuple(each for each in dict.fromkeys(found) if each != own)


def _unicast(own: Destination, interface: Interface, discovery: Discovery) -> socket.socket:
    """All that is sent to a group by it leaves by the interface, and is heard on this machine too.

    Without IP_MULTICAST_IF a send fails while there is no route for the group, which is so after a
    link was down.
    """
    with _making(own[0], own[1], interface) as made:
        if _version(own[0]) == 4:
            by = struct.pack("=4s4si", bytes(4), socket.inet_aton(own[0]), interface.index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, by)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, discovery.ttl)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            made.bind(own[:2])
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, discovery.ttl)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
            made.bind((own[0], own[1], 0, own[2]))
        return made


def _multicast(group: str, interface: Interface, port: int) -> socket.socket:
    """A member of the group on the interface, who gets what comes by that one only.

    SO_REUSEADDR: another node on this machine may be a member too; each gets every packet.
    """
    with _making(group, port, interface) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if _version(group) == 4:
            made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            made.bind((group, port))
            member = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), interface.index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        else:
            with contextlib.suppress(OSError):  # since Linux 4.20; a group of ours is nobody else's
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
            made.bind((group, port, 0, interface.index))
            member = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=i", interface.index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        return made


@contextlib.contextmanager
def _making(address: str, port: int, interface: Interface) -> Iterator[socket.socket]:
    """A socket with what all have; closed when what is done with it fails, and that explained."""
    made: socket.socket | None = None
    try:
        family = socket.AF_INET if _version(address) == 4 else socket.AF_INET6
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _make_room(made)
        # The kernel tells with each packet how many it has dropped before.
        made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        yield made
    except BaseException as error:
        if made is not None:
            made.close()
        if isinstance(error, OSError):
            raise _fault(error, address, port, interface) from error
        raise


def _make_room(made: socket.socket) -> None:
    """Beyond net.core.rmem_max only root may; anybody else gets as much as that."""
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def _fault(error: OSError, address: str, port: int, interface: Interface) -> SocketFault:
    number = error.errno or 0
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    what = f"no beacons by {interface.name}: {where} (UDP) is"
    name = errno.errorcode.get(number, "error")
    if number in _GONE:
        return SocketFault(
            f"{what} not there any more ({name}): the interface changed; it is looked at again",
            gone=True,
        )
    if number in _HINTS:
        reason, expected = _HINTS[number]
        return SocketFault(f"{what} {reason} ({name}); expected {expected}")
    return SocketFault(f"{what} refused: {error.strerror} ({name}); try DROP_IFACE=NAME")


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _is_link_local(address: str) -> bool:
    return ipaddress.ip_address(address).is_link_local


def _group_scope(group: str) -> int:
    """Of a multicast address of IPv6: 1 this machine, 2 the link, ... 14 everywhere."""
    return ipaddress.IPv6Address(group).packed[1] & 0x0F


def _scope(address: str, interface: Interface) -> int:
    """The scope id that goes with an address: it is the same on every link, or it has none."""
    if _version(address) == 4:
        return 0
    on_link = _is_link_local(address) or ipaddress.ip_address(address).is_multicast
    return interface.index if on_link else 0
