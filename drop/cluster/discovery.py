"""A node's part in finding the others: puts together what hears, decides and knows where it is.

    key file ──▶ Herald (native thread: beacons out and in) ──▶ Roster ──▶ Membership (pure)
                    ▲
    interfaces, hosts file ──▶ Presence

Without a key there is none of it: a node that cannot tell friend from stranger speaks to nobody.
The key may come later; the file is looked at every second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

from drop import __version__
from drop._fast.herald import Herald
from drop.clock import Clock, Timer
from drop.cluster import keys, listing
from drop.cluster.files import LOOK_SECONDS, WatchedFiles
from drop.cluster.history import Changes
from drop.cluster.identity import IdentityFile
from drop.cluster.membership import Membership, MembershipError, Timing
from drop.cluster.presence import Place, Presence
from drop.cluster.roster import Roster
from drop.config import Settings
from drop.errors import ConfigurationError
from drop.host import iface_variable, netlink
from drop.host.interfaces import choose
from drop.host.interfaces import document as interfaces_document

NODES_MAX = 4096
"""Members and native table. A beacon of each twice a second is 8 000 packets/s."""

Document = dict[str, Any]
Report = Callable[..., None]

SWITCHED_OFF = "discovery is switched off (`discovery.enabled` in the configuration)"
NO_KEY = "no key, so no discovery: `drop key generate` makes one ({path})"


class Discovery:
    """Made with the node, started when it answers calls, closed before it stops to."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        report: Report,
        on_error: Callable[[str, Exception], None],
        workers: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._report = report
        self._on_error = on_error
        self._workers = workers
        self._timer: Timer | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._watch: netlink.Watch | None = None
        self._files = WatchedFiles(
            [settings.key_file, settings.hosts_file, *iface_variable.files()]
        )
        self._keys: tuple[bytes, ...] = ()
        self._key_fault: str | None = None
        """Why the key file is not followed; the keys from before stay."""
        self._identity: IdentityFile | None = None
        self.herald: Herald | None = None
        self.roster: Roster | None = None
        self.presence: Presence | None = None

    # --- its life ---

    def start(self) -> None:
        """Beacons go out as soon as the interface is known; needs no waiting for."""
        if not self._settings.discovery.enabled:
            return
        self._read_keys()
        if not self._keys:
            self._report("info", "no_discovery", text=self.reason)
        self._timer = self._clock.call_later(LOOK_SECONDS, self._every_second)

    async def close(self) -> None:
        """Says goodbye, and ends the thread."""
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._watch is not None:
            self._watch.close()
        if self.herald is None or self.roster is None or self.presence is None:
            return
        self.presence.close()
        self.roster.stop()
        asyncio.get_running_loop().remove_reader(self.herald.event_fd())
        self.herald.leave()
        self.herald.stop()
        self.herald = None

    def _open(self) -> None:
        """With the first key. Raises ConfigurationError; then nothing is open, and it can be tried
        again."""
        identity = IdentityFile.load_or_make(
            self._settings.var_dir, int(self._clock.wall() * 1000), self._report
        )
        try:
            self._watch = self._watch or netlink.Watch(self._look_soon)
            self._begin(identity)
        except OSError as error:
            raise ConfigurationError(
                f"is a key, but there can be no beacons: {error.strerror}",
                file=self._settings.key_file,
                expected="descriptors and memory for them; it is tried again",
            ) from error
        self._look_soon()

    def _begin(self, identity: IdentityFile) -> None:
        """Raises OSError, and has begun nothing."""
        own, discovery = identity.identity, self._settings.discovery
        herald = Herald(
            node_id=own.node_id,
            incarnation=own.incarnation,
            interval_ms=discovery.interval_ms,
            peers_max=NODES_MAX,
        )
        herald.start()
        self._identity, self.herald = identity, herald
        self.roster = Roster(
            Membership(
                Timing(discovery.suspect_ms, discovery.dead_ms, members_max=NODES_MAX), own.node_id
            ),
            herald,
            identity,
            clock=self._clock,
            report=self._report,
        )
        self.presence = Presence(
            self._settings,
            self._environ,
            clock=self._clock,
            report=self._report,
            settle=self._settle,
            look_soon=self._look_soon,
        )
        self._tell_load()
        asyncio.get_running_loop().add_reader(herald.event_fd(), self.roster.on_heard)
        self.roster.start()

    # --- what is looked at again and again ---

    def _every_second(self) -> None:
        self._timer = self._clock.call_later(LOOK_SECONDS, self._every_second)
        changed = self._files.changed()
        if self._settings.key_file in changed or self._key_fault:
            self._read_keys()
        if changed - {self._settings.key_file}:
            self._look_soon()
        self._tell_load()

    def _look_soon(self) -> None:
        """Something may have changed about where this node is."""
        self._look_again = True
        if self.presence is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look(self.presence))

    async def _look(self, presence: Presence) -> None:
        """One after the other; what comes during one is seen by the next."""
        while self._look_again:
            self._look_again = False
            try:
                await presence.look()
            except Exception as error:  # of ours or of the kernel's: what there is stays
                self._on_error("looking at the interfaces", error)

    def _settle(self, place: Place | None, sockets: list[Any]) -> None:
        """New sockets; and what others are to know of us."""
        assert self.herald is not None
        if place is None:
            self.herald.set_sockets([])
            return
        try:
            self.herald.set_sockets(sockets, peers_too=place.destinations is not None)
        except BaseException:
            for descriptor, _ in sockets:
                os.close(descriptor)
            raise
        interface = place.interface
        addresses = interface.addresses if interface and sockets else ()
        self.herald.announce(
            name=self._settings.name,
            namespace="",
            version=__version__,
            port=self._port_for(addresses),
            addresses=addresses[:8],
        )

    def _port_for(self, addresses: tuple[str, ...]) -> int:
        """Where other nodes can reach this one by the binary protocol; 0: nowhere."""
        for each in self._settings.listen:
            if each.host in ("0.0.0.0", "::", *addresses):
                return each.port
        return 0

    def _tell_load(self) -> None:
        if self.herald is not None:
            cpus, load, memory_mib = listing.figures()
            self.herald.set_load(
                load=load, cpus=cpus, workers=self._workers(), memory_mib=memory_mib
            )

    # --- keys ---

    def load_keys(self) -> int:
        """Reads the key file; returns how many keys are in it. Raises ConfigurationError: then
        those that were there before stay, and it is read again every second."""
        try:
            found = self._load_keys()
        except ConfigurationError as error:
            self._key_fault = str(error)
            raise
        self._key_fault = None
        return found

    def _load_keys(self) -> int:
        path = self._settings.key_file
        found = keys.load(path) if os.path.lexists(path) else ()
        if found != self._keys:
            self._keys = found
            prints = ", ".join(keys.fingerprint(key) for key in found)
            self._report("info", "keys", signs_with_first=prints or "none: beacons stop")
        if found and self.herald is None and self._settings.discovery.enabled:
            self._open()
        if self.herald is not None:
            self.herald.set_keys(found)
        return len(found)

    def _read_keys(self) -> None:
        before = self._key_fault
        try:
            self.load_keys()
        except ConfigurationError as error:
            if self._key_fault != before:
                self._report("error", "keys", text=str(error))

    @property
    def reason(self) -> str | None:
        """Why there are no beacons, if there are none."""
        if not self._settings.discovery.enabled:
            return SWITCHED_OFF
        if self._key_fault and self.herald is None:
            return f"no discovery: {self._key_fault}"
        if not self._keys:
            return NO_KEY.format(path=self._settings.key_file)
        return self.presence.reason if self.presence is not None else None

    # --- to look at ---

    def document(self) -> Document:
        """All nodes, how they were heard, and what was dropped."""
        counted = self.herald.statistics() if self.herald else {}
        return {
            "nodes": [self._own(), *self.members()],
            "unverified": listing.unverified(self.herald.unverified() if self.herald else []),
            "revision": self.roster.history.revision if self.roster else 0,
            "beacons": listing.beacons(
                counted,
                reason=self.reason,
                warnings=self._warnings(),
                port=self._settings.discovery.port,
                keys=[keys.fingerprint(key) for key in self._keys],
            ),
        }

    def _warnings(self) -> list[str]:
        found = [self.presence.warning] if self.presence else []
        if self._keys and self._key_fault and self.herald is not None:
            found.append(f"{self._key_fault}; the keys from before are used")
        return [each for each in found if each]

    def members(self) -> list[Document]:
        """All that have been seen and not forgotten, by name."""
        if self.herald is None or self.roster is None:
            return []
        return listing.members(
            self.roster.membership.members.values(), self.herald.peers(), self._clock
        )

    async def changes(self, revision: int, seconds: float) -> Changes:
        """What changed among the nodes since then; waits for something up to `seconds`."""
        if self.roster is None:
            await asyncio.sleep(seconds)
            return Changes(0, [], False)
        return await self.roster.history.wait(revision, seconds)

    def forget(self, node_id: bytes) -> None:
        """Takes one off the list. Raises MembershipError when it lives, or is not on it."""
        if self.roster is None:
            raise MembershipError("no node has been seen")
        self.roster.forget(node_id)

    async def interfaces(self) -> Document:
        """The candidates, the choice and why: of the sockets in use, else a fresh look."""
        if self.presence is not None and self.presence.place is not None:
            return self.presence.document()
        wanted = iface_variable.wanted(self._environ)
        return {
            **interfaces_document(choose(*await asyncio.to_thread(netlink.look), wanted), wanted),
            "fault": self.reason,
        }

    def _own(self) -> Document:
        place = self.presence.place if self.presence else None
        interface = place.interface if place else None
        return listing.own(
            name=self._settings.name,
            node_id=self._identity.identity.node_id if self._identity else b"",
            addresses=interface.addresses if interface else (),
            port=self._port_for(interface.addresses if interface else ()),
            workers=self._workers(),
        )
