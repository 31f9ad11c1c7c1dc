"""Where this node is to be found: its interface, its sockets for beacons, and whom they go to.

Whenever something may have changed (the kernel says so, a file was edited, a name may have got
another address) everything is looked at again and compared with what there is. Only a difference
makes new sockets, so a look too many costs nothing; new sockets join their group again. While there
is no usable address there is no socket, and nothing is announced: a stale address is worse.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drop.clock import Clock, Timer
from drop.cluster.hosts import HOSTS_MAX, HostEntry, Hosts, parse
from drop.cluster.names import Address, Names, addresses_of
from drop.cluster.sockets import Destination, SocketFault, open_sockets, unserved
from drop.config import Settings
from drop.host import iface_variable, netlink
from drop.host.interfaces import Choice, Interface, Wanted, choose, document
from drop.host.regular import read_regular

RETRY_SECONDS = 2.0
"""After sockets could not be made, or a look failed."""
RESOLVE_SECONDS = 60.0
"""Between two looks at the addresses behind the names in the hosts file."""
HOSTS_BYTES_MAX = 65_536

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
        self._names = Names(clock, look_soon)
        self._again: Timer | None = None
        self._faults: dict[str, None] = {}  # of this look
        self._said: dict[str, None] = {}  # of the last one
        self.place: Place | None = None
        self.choice: Choice | None = None
        self.wanted: Wanted | None = None
        self.fault: str | None = None
        """Why there are no sockets, if there should be some."""

    async def look(self) -> None:
        """Look again; with another place than before, settle there. One at a time. Raises what
        the kernel does, and looks again later."""
        self._look_in(RETRY_SECONDS)
        interfaces, routes = await asyncio.to_thread(netlink.look)
        self._faults = {}
        found = iface_variable.find(self._environ)
        for warning in found.warnings:
            self._fault(str(warning))
        self.wanted = found.wanted
        choice = choose(interfaces, routes, self.wanted)
        self._choose(choice)
        place = Place(choice.interface, self._destinations(choice.interface))
        self._said = self._faults
        if place != self.place or self.fault:
            self._move(place)
        self._look_later(place)

    def close(self) -> None:
        self._cancel()
        self._names.close()

    @property
    def reason(self) -> str | None:
        """Why there are no beacons, if there are none."""
        if self.fault is None and self.choice is not None and self.choice.interface is None:
            return self.choice.why
        return self.fault

    @property
    def warning(self) -> str | None:
        """What keeps the beacons that there are from others, as far as this node can tell."""
        listed = self.place is not None and bool(self.place.destinations)
        return None if self.choice is None or listed else self.choice.warning

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
        self.place, self.fault = None, fault  # until it has been settled in
        self._settle(place, sockets)
        self.place = place

    def _look_later(self, place: Place) -> None:
        if self.fault:
            self._look_in(RETRY_SECONDS)
        elif place.destinations is not None:
            self._look_in(RESOLVE_SECONDS)
        else:
            self._cancel()

    def _look_in(self, seconds: float) -> None:
        self._cancel()
        self._again = self._clock.call_later(seconds, self._look_soon)

    def _cancel(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _fault(self, text: str) -> None:
        """Once, until it is mended: a file that is wrong is looked at again and again."""
        if text not in self._said and text not in self._faults:
            self._report("warning", "hosts", text=text)
        self._faults[text] = None

    # --- the hosts file ---

    def _destinations(self, interface: Interface | None) -> tuple[Destination, ...] | None:
        """The addresses in the hosts file, as far as they are known; None without one."""
        hosts = self._read_hosts()
        if hosts is None:
            self._names.look(())
            return None
        found = tuple(dict.fromkeys(self._located(hosts.entries)))
        file = self._settings.hosts_file
        if len(found) > HOSTS_MAX:
            more = f"{len(found)} addresses are behind its names"
            self._fault(f"{file}: {more}; beacons go to the first {HOSTS_MAX}")
            found = found[:HOSTS_MAX]
        if interface is not None:
            for address, _, _ in unserved(interface, found):
                self._fault(
                    f"{file}: {address}: {interface.name} has no address of"
                    " this version of IP, so nothing can be sent there"
                )
        return found

    def _located(self, entries: Sequence[HostEntry]) -> Iterator[Destination]:
        """The destinations behind entries; numbers at once, names when there is an answer."""
        numeric: dict[str, tuple[Address, ...]] = {}
        for host in {entry.host for entry in entries}:
            with contextlib.suppress(OSError):
                numeric[host] = addresses_of(host, numeric=True)
        answers = self._names.look([entry.host for entry in entries if entry.host not in numeric])
        for entry in entries:
            answer = answers.get(entry.host)
            if answer and answer.fault:
                self._fault(
                    f"{self._settings.hosts_file}:{entry.line}: {entry.host}: {answer.fault}"
                )
            addresses = answer.addresses if answer else numeric.get(entry.host, ())
            for address, scope in addresses:
                yield address, entry.port or self._settings.discovery.port, scope

    def _read_hosts(self) -> Hosts | None:
        path = self._settings.hosts_file
        try:
            text = read_regular(path, HOSTS_BYTES_MAX + 1)
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
