"""Where this node is to be found: its interface, its sockets for beacons, and whom they go to.

Whenever something may have changed (the kernel says so, a file was edited, a name may have got
another address) everything is looked at again and compared with what there is. Only a difference
makes new sockets, so a look too many costs nothing; new sockets join their group again. While there
is no usable address there is no socket, and nothing is announced: a stale address is worse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from drop.clock import Clock, Timer
from drop.cluster.hosts import Hosts, parse
from drop.cluster.resolve import resolve
from drop.cluster.sockets import Destination, SocketFault, open_sockets, unserved
from drop.config import Settings
from drop.host import iface_variable, netlink
from drop.host.interfaces import Choice, Interface, Wanted, choose, document

RETRY_SECONDS = 2.0
"""After sockets could not be made."""
RESOLVE_SECONDS = 60.0
"""Between two looks at the addresses behind the names in the hosts file."""
HOSTS_BYTES_MAX = 65_536

FAULTS_MAX = 256
"""Different faults of the hosts file that are told; it is read for as long as the node runs."""

Report = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Place:
    """What sockets are made from; equal places need no new ones."""

    interface: Interface | None
    destinations: tuple[Destination, ...] | None
    """None: by multicast."""


class Presence:
    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        report: Report,
        settle: Callable[[Place | None, list[Any]], None],
        look_soon: Callable[[], None],
    ) -> None:
        """`settle` gets each new place with its sockets, which are its own from there on; before
        that it is called without a place, to let go of the old ones, which have the addresses that
        the new ones need. `look_soon` is called when `look` should be, after a while."""
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._report = report
        self._settle = settle
        self._look_soon = look_soon
        self._looking = asyncio.Lock()
        self._again: Timer | None = None
        self._said: set[str] = set()
        self.place: Place | None = None
        self.choice: Choice | None = None
        self.wanted: Wanted | None = None
        self.fault: str | None = None
        """Why there are no sockets, if there should be some."""

    async def look(self) -> None:
        """Look again; with another place than before, settle there."""
        async with self._looking:
            self._cancel()
            interfaces, routes = await asyncio.to_thread(netlink.look)
            found = iface_variable.find(self._environ)
            for warning in found.warnings:
                self._fault(str(warning))
            self.wanted = found.wanted
            choice = choose(interfaces, routes, self.wanted)
            self._choose(choice)
            place = Place(choice.interface, await self._destinations(choice.interface))
            if place != self.place or self.fault:
                self._move(place)
            self._look_later(place)

    def close(self) -> None:
        self._cancel()

    def document(self) -> dict[str, Any]:
        """What `drop node interfaces` shows."""
        assert self.choice is not None
        return {**document(self.choice, self.wanted), "fault": self.fault}

    # --- moving ---

    def _choose(self, choice: Choice) -> None:
        """Says what is chosen when it is another one than before."""
        before, self.choice = self.choice, choice
        if before is not None and (before.why, before.interface) == (choice.why, choice.interface):
            return
        found = choice.interface
        self._report(
            "info" if found else "warning",
            "interface",
            interface=found.name if found else None,
            addresses=", ".join(found.addresses) if found else None,
            text=choice.why,
        )
        if choice.warning:
            self._report("warning", "interface", text=choice.warning)

    def _move(self, place: Place) -> None:
        fault, sockets = None, []
        self._settle(None, [])
        if place.interface is not None:
            try:
                sockets = open_sockets(
                    place.interface, self._settings.discovery, place.destinations
                )
            except SocketFault as error:
                fault = str(error)
        if fault and fault != self.fault:
            self._report("error", "no_beacons", text=fault)
        self.place, self.fault = place, fault
        self._settle(place, sockets)

    def _look_later(self, place: Place) -> None:
        seconds = RETRY_SECONDS if self.fault else RESOLVE_SECONDS
        if self.fault or place.destinations is not None:
            self._again = self._clock.call_later(seconds, self._look_soon)

    def _cancel(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _fault(self, text: str) -> None:
        """Once each: a file that is wrong is looked at again and again."""
        if text not in self._said and len(self._said) < FAULTS_MAX:
            self._said.add(text)
            self._report("warning", "hosts", text=text)

    # --- the hosts file ---

    async def _destinations(self, interface: Interface | None) -> tuple[Destination, ...] | None:
        """The addresses in the hosts file; None without one."""
        hosts = self._read_hosts()
        if hosts is None:
            return None
        port, found = self._settings.discovery.port, []
        for entry in hosts.entries:
            try:
                found += await resolve(entry.host, entry.port or port)
            except OSError as error:
                self._fault(
                    f"{self._settings.hosts_file}:{entry.line}: {entry.host}: {error.strerror}"
                )
        if interface is not None:
            for address, _, _ in unserved(interface, found):
                self._fault(
                    f"{self._settings.hosts_file}: {address}: {interface.name} has no address of"
                    " this version of IP, so nothing can be sent there"
                )
        return tuple(dict.fromkeys(found))

    def _read_hosts(self) -> Hosts | None:
        path = self._settings.hosts_file
        try:
            with open(path, "rb") as file:
                text = file.read(HOSTS_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._fault(f"{path}: cannot be read: {error.strerror}; beacons go by multicast")
            return None
        if len(text) > HOSTS_BYTES_MAX:
            self._fault(f"{path}: only its first {HOSTS_BYTES_MAX} bytes are read")
        hosts = parse(text[:HOSTS_BYTES_MAX].decode("utf-8", "replace"), path)
        for fault in hosts.faults:
            self._fault(str(fault))
        return hosts
