"""The machine's interfaces and default routes as the kernel tells them, and when to look again.

The sockets are ours and pyroute2 only reads the messages: its own sockets bring an event loop with
them, and that does not run on uvloop. It is imported late, by the first `look()`: that takes 0.2 s.

A look asks for everything and a change is only a reason to look, so that nothing is lost when the
kernel has more to tell than a socket holds (ENOBUFS), and there is no second truth to keep up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from drop.host.interfaces import DefaultRoute, Interface, ranked

DEBOUNCE_S = 0.05
"""From the first sign of a change to the call: one change makes a handful of messages."""

_DATAGRAM_MAX = 1 << 16  # the kernel makes none larger than 32 KiB
_DATAGRAMS_A_TURN_MAX = 64  # then the loop has its turn
_LOOKS_MAX = 5  # when the kernel says that what it listed has changed meanwhile
_ANSWER_S = 5.0  # a dump takes a millisecond; the kernel that does not answer is broken

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP_INTR, _NLM_F_DUMP = 0x1, 0x10, 0x300
_RTM_NEWLINK, _RTM_GETLINK = 16, 18
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 24, 25, 26

# The attributes of a link that are read, of some forty: IFLA_ADDRESS, _IFNAME, _MTU, _OPERSTATE.
_LINK_ATTRIBUTES = (1, 3, 4, 16)
_IFINFOMSG_BYTES = 16

_IFF_UP, _IFF_LOOPBACK, _IFF_MULTICAST = 0x1, 0x8, 0x1000
_IFA_F_TEMPORARY, _IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x1, 0x8, 0x20, 0x40
_UNUSABLE = _IFA_F_DADFAILED | _IFA_F_DEPRECATED | _IFA_F_TENTATIVE
_RT_TABLE_MAIN, _RTN_UNICAST = 254, 1

# RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

Messages = list[tuple[int, bytes]]


def look() -> tuple[list[Interface], list[DefaultRoute]]:
    """What there is now, by index. Blocks for about a millisecond: for a thread, not for a loop.

    Raises OSError. Asks about the network namespace of the calling thread.
    """
    for _ in range(_LOOKS_MAX):
        answers = [_dump(what) for what in (_RTM_GETLINK, _RTM_GETADDR, _RTM_GETROUTE)]
        if all(steady for _, steady in answers):
            break
    # Else it changes all the time: what we have is as good as any, and we are told to look again.
    links, addresses, routes = (messages for messages, _ in answers)
    return _interfaces(links, addresses), _default_routes(routes)


class Watch:
    """Calls back when interfaces, addresses or default routes may have changed.

    At most once in DEBOUNCE_S, however much happens. The loop may be any, uvloop too.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        """On the running loop. Raises OSError. Look behind it, or a change may be missed."""
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        self.overruns = 0
        """How often the kernel had more to tell than the socket holds."""
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            self._socket.bind((0, _GROUPS))
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._on_readable)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Idempotent; nothing is called back any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()

    def _on_readable(self) -> None:
        for _ in range(_DATAGRAMS_A_TURN_MAX):
            try:
                changed = _matters(self._socket.recv(_DATAGRAM_MAX))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overruns += 1
                changed = True
            if changed and self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(DEBOUNCE_S, self._call)

    def _call(self) -> None:
        self._timer = None
        self._on_change()


def _matters(datagram: bytes) -> bool:
    """A router with a million routes changes some all the time: only the default one is ours."""
    return any(
        kind not in (_RTM_NEWROUTE, _RTM_DELROUTE) or _is_default(message)
        for kind, _, message in _messages(datagram)
    )


def _is_default(message: bytes) -> bool:
    return message[_HEADER.size + 1] == 0  # rtm_dst_len


def _dump(request: int) -> tuple[Messages, bool]:
    """Everything of a kind, and whether it held still while it was listed."""
    found: Messages = []
    steady = True
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(_ANSWER_S)
        asking.bind((0, 0))
        # Behind the header a struct rtgenmsg: any family, and three bytes to align it.
        head = _HEADER.pack(_HEADER.size + 4, request, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
        asking.sendto(head + bytes(4), (0, 0))
        while True:
            for kind, flags, message in _messages(asking.recv(_DATAGRAM_MAX)):
                steady = steady and not flags & _NLM_F_DUMP_INTR
                if kind == _NLMSG_DONE:
                    return found, steady
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", message, _HEADER.size)[0]
                    raise OSError(number, f"netlink: {errno.errorcode.get(number, number)}")
                # A million routes are not decoded to find the one that we want.
                if kind != _RTM_NEWROUTE or _is_default(message):
                    found.append((kind, message))


def _messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, flags, whole message); ends at the first that is not whole."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, flags, _, _ = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size or offset + length > len(datagram):
            return
        yield kind, flags, datagram[offset : offset + length]
        offset += (length + 3) & ~3


def _interfaces(links: Messages, addresses: Messages) -> list[Interface]:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    usable = _usable_addresses(addresses)
    found = []
    for message in (
        _decoded(ifinfmsg, _short(data)) for kind, data in links if kind == _RTM_NEWLINK
    ):
        flags = message["flags"]
        state = message.get_attr("IFLA_OPERSTATE") or "UNKNOWN"
        loopback = bool(flags & _IFF_LOOPBACK)
        found.append(
            Interface(
                name=message.get_attr("IFLA_IFNAME"),
                index=message["index"],
                up=bool(flags & _IFF_UP) and state in ("UP", "UNKNOWN"),
                loopback=loopback,
                multicast=bool(flags & _IFF_MULTICAST),
                addresses=_of(usable.get(message["index"], []), loopback=loopback),
                mac=message.get_attr("IFLA_ADDRESS") or "",
                mtu=message.get_attr("IFLA_MTU") or 0,
            )
        )
    return sorted(found, key=lambda each: each.index)


def _short(message: bytes) -> bytes:
    """A link without what is not read: a host of containers has hundreds, and each costs pyroute2
    0.4 ms as it comes."""
    start = _HEADER.size + _IFINFOMSG_BYTES
    kept, offset = [message[_HEADER.size : start]], start
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        step = (max(length, 4) + 3) & ~3
        if kind in _LINK_ATTRIBUTES:
            kept.append(message[offset : offset + step])
        offset += step
    body = b"".join(kept)
    return struct.pack("=I", _HEADER.size + len(body)) + message[4 : _HEADER.size] + body


def _usable_addresses(messages: Messages) -> dict[int, list[tuple[str, bool]]]:
    """By index of the interface: (address, whether it is a temporary one)."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    found: dict[int, list[tuple[str, bool]]] = {}
    for message in (_decoded(ifaddrmsg, data) for kind, data in messages if kind == _RTM_NEWADDR):
        flags = message.get_attr("IFA_FLAGS")
        flags = message["flags"] if flags is None else flags
        # On a point-to-point link IFA_ADDRESS is the other end; IPv6 has only that one, its own.
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if address is None or flags & _UNUSABLE:
            continue
        temporary = message["family"] == socket.AF_INET6 and bool(flags & _IFA_F_TEMPORARY)
        found.setdefault(message["index"], []).append((address, temporary))
    return found


def _of(addresses: list[tuple[str, bool]], *, loopback: bool) -> tuple[str, ...]:
    """Loopback has its own addresses, and often others that serve machines elsewhere."""
    return ranked(
        each for each in addresses if ipaddress.ip_address(each[0]).is_loopback == loopback
    )


def _default_routes(messages: Messages) -> list[DefaultRoute]:
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    found = []
    for message in (_decoded(rtmsg, data) for kind, data in messages if kind == _RTM_NEWROUTE):
        table = message.get_attr("RTA_TABLE") or message["table"]
        if table != _RT_TABLE_MAIN or message["type"] != _RTN_UNICAST or message["dst_len"]:
            continue
        family = 6 if message["family"] == socket.AF_INET6 else 4
        metric = message.get_attr("RTA_PRIORITY") or 0
        for hop in message.get_attr("RTA_MULTIPATH") or [message]:
            index = hop.get_attr("RTA_OIF") or hop.get("oif")
            if index:
                found.append(DefaultRoute(index, family, metric, _gateway(hop)))
    return found


def _gateway(hop: Any) -> str | None:
    """Of the same family, or (RTA_VIA) of another."""
    gateway: str | None = hop.get_attr("RTA_GATEWAY")
    if gateway is None:
        with contextlib.suppress(TypeError, KeyError):
            gateway = hop.get_attr("RTA_VIA")["addr"]
    return gateway


def _decoded(kind: Any, data: bytes) -> Any:
    message = kind(data)
    message.decode()
    return message
