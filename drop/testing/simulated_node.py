"""A whole node of a simulation: its membership, its table of peers, its disk, its two timers.

It can be killed, stopped like by SIGSTOP, started again, copied to another machine with its disk.
What it says to people is checked as it says it: see `_changed`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from drop.cluster.member import (
    Action,
    Changed,
    Facts,
    Forget,
    NewIdentity,
    Probe,
    RaiseIncarnation,
    State,
    Timing,
)
from drop.cluster.membership import TICK_SECONDS, Membership
from drop.testing.clock import FakeClock, FakeTimer
from drop.testing.simulated_network import Network
from drop.testing.simulated_peers import INTERVAL, Kind, Life, Packet, Peers

INBOX_MAX = 300
"""Packets that the kernel keeps for a stopped process; the rest it drops, and says so."""
ANSWERS_PER_SECOND = 1000
"""Probes and answers to probes."""


@dataclass(slots=True)
class Disk:
    node_id: bytes
    incarnation: int = 0


class SimulatedNode:
    def __init__(
        self,
        name: str,
        disk: Disk,
        network: Network,
        dice: random.Random,
        timing: Timing,
        on_change: Callable[[SimulatedNode, Changed], None],
    ) -> None:
        self.name = name
        self.disk = disk
        self.wall_offset_ms = dice.randrange(1_000_000)
        self.is_up = False
        self.is_running = False
        """Up, and not stopped."""
        self.view: dict[bytes, State] = {}
        """What people were told, put together."""
        self._network = network
        self._clock: FakeClock = network.clock
        self._dice = dice
        self._timing = timing
        self._on_change = on_change
        self._timers: dict[str, FakeTimer] = {}
        self._held: list[Callable[[], None]] = []  # what falls due while it is stopped
        self._inbox: list[tuple[Packet, object]] = []
        self._deaf_until = 0.0
        self._credit, self._credited = 0.0, 0.0
        self._known: dict[bytes, int] = {}

    # --- its life ---

    def start(self, *, is_new: bool = True) -> None:
        wall_ms = int(self._clock.wall() * 1000) + self.wall_offset_ms
        self.disk.incarnation = max(self.disk.incarnation + 1, wall_ms)
        self.is_up = self.is_running = True
        self.view, self._known = {}, {}
        self._inbox, self._held = [], []
        self.life = self._new_life()
        self.peers = Peers(self.life)
        self.entries = self.peers.entries
        self.membership = Membership(self._timing, self.disk.node_id)
        for delay in (0.0, 0.1, 0.3) if is_new else ():
            self._after(f"first {delay}", delay, lambda: self._beacon(solicits=True))
        self._after("beacon", INTERVAL * (1 + self._dice.random()), self._on_beacon)
        self._after("tick", TICK_SECONDS * self._dice.random(), self._on_tick)

    def meet_already(self, other: SimulatedNode) -> None:
        now = self._clock.now()
        self.peers.meet_already(other.life, other, now)
        self._carry_out(self.membership.heard(other.life.facts, now))

    def kill(self) -> None:
        """As by SIGKILL: nobody is told."""
        self.is_up = self.is_running = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def leave(self) -> None:
        for _ in range(3):
            self._network.multicast(self, self._packet(Kind.LEAVE))
        self.kill()

    def stop(self) -> None:
        """As by SIGSTOP."""
        self.is_running = False

    def resume(self) -> None:
        """What waited is done in any order, as by two threads that wake."""
        if not self.is_up or self.is_running:
            return
        self.is_running = True
        held, self._held = self._held, []
        held.append(self._drain)
        self._dice.shuffle(held)
        for each in held:
            each()

    def rename(self, name: str) -> None:
        self.name = name
        self.life.facts = replace(self.life.facts, name=name)
        if self.is_running:
            self._beacon()

    def _drain(self) -> None:
        waiting, self._inbox = self._inbox, []
        for packet, source in waiting:
            self.receive(packet, source)

    # --- timers ---

    def _after(self, key: str, seconds: float, callback: Callable[[], None]) -> None:
        def due() -> None:
            if self.is_running:
                callback()
            elif self.is_up:
                self._held.append(callback)

        self._timers[key] = self._clock.call_later(seconds, due)

    def _on_beacon(self) -> None:
        self._beacon()
        for nonce, source in self.peers.ask_again(self._clock.now()):
            self._send_limited(source, self._packet(Kind.PROBE, nonce=nonce))
        self._after("beacon", INTERVAL * (0.9 + 0.2 * self._dice.random()), self._on_beacon)

    def _on_tick(self) -> None:
        now = self._clock.now()
        silent = self.peers.silent(self._timing.suspect_ms, now)
        self._carry_out(self.membership.tick(now, silent, now < self._deaf_until))
        self._after("tick", TICK_SECONDS, self._on_tick)

    # --- packets ---

    def receive(self, packet: Packet, source: object) -> None:
        if not self.is_running:
            if self.is_up and len(self._inbox) < INBOX_MAX:
                self._inbox.append((packet, source))
            elif self.is_up:
                self._deaf_until = self._clock.now() + 2.0
            return
        now = self._clock.now()
        outcome = self.peers.receive(packet, source, now)
        if outcome is None:
            return
        if outcome.echo is not None:
            self._send_limited(source, self._packet(Kind.BEACON, nonce=outcome.echo))
        if outcome.challenge is not None:
            self._send_limited(source, self._packet(Kind.PROBE, nonce=outcome.challenge))
        if outcome.solicits:
            self._after(
                f"solicited {packet.life.node_id.hex()}",
                0.1 * self._dice.random(),
                lambda: self._send_limited(source, self._packet(Kind.BEACON)),
            )
        if outcome.heard is not None:
            self._carry_out(self.membership.heard(outcome.heard, now))
        if outcome.left is not None:
            left = outcome.left.facts
            self._carry_out(self.membership.left(left.node_id, left.incarnation, now))
        if outcome.conflict is not None:
            own, other = self.life.order, outcome.conflict.order
            self._carry_out(self.membership.conflict(*own, *other))

    def _packet(self, kind: Kind, **fields: Any) -> Packet:
        self.life.sequence += 1
        return Packet(self.life, kind, self.life.sequence, self.life.facts, **fields)

    def _beacon(self, *, solicits: bool = False) -> None:
        self._network.multicast(self, self._packet(Kind.BEACON, solicits=solicits))

    def _send_limited(self, receiver: object, packet: Packet) -> None:
        """A packet too many is not sent; who wanted it asks again."""
        now = self._clock.now()
        earned = (now - self._credited) * ANSWERS_PER_SECOND
        self._credit, self._credited = min(ANSWERS_PER_SECOND, self._credit + earned), now
        if self._credit >= 1:
            self._credit -= 1
            self._network.unicast(self, receiver, packet)

    def _new_life(self) -> Life:
        return Life(
            Facts(
                node_id=self.disk.node_id,
                incarnation=self.disk.incarnation,
                session=self._dice.getrandbits(64),
                name=self.name,
                namespace="",
                version="1",
                port=8085,
                addresses=(),
                source="",
            )
        )

    # --- what the membership wants ---

    def _carry_out(self, actions: list[Action]) -> None:
        for action in list(actions):
            match action:
                case Changed():
                    self._changed(action)
                case Probe(node_id):
                    if asked := self.peers.ask(node_id, self._clock.now()):
                        nonce, source = asked
                        self._send_limited(source, self._packet(Kind.PROBE, nonce=nonce))
                case Forget(node_id):
                    self.peers.forget(node_id)
                case NewIdentity():
                    self._take(self._dice.randbytes(16), self.disk.incarnation + 1)
                case RaiseIncarnation(above):
                    self._take(self.disk.node_id, max(above, self.disk.incarnation) + 1)

    def _take(self, node_id: bytes, incarnation: int) -> None:
        self.disk.node_id, self.disk.incarnation = node_id, incarnation
        self.life = self._new_life()
        self.peers.set_own(self.life)
        self.membership.own_id = node_id
        self._beacon()

    def _changed(self, change: Changed) -> None:
        """People can follow: each state begins where the last one ended, and incarnations do not go
        back but after a death."""
        member, node_id = change.member, change.member.facts.node_id
        assert self.view.get(node_id) == change.before, (self.name, change)
        back = change.before is State.DEAD
        assert back or self._known.get(node_id, 0) <= member.incarnation, (self.name, change)
        assert node_id != self.disk.node_id, (self.name, "is its own member")
        if change.after is None:
            del self.view[node_id]
            self._known.pop(node_id, None)
        else:
            self.view[node_id] = change.after
            self._known[node_id] = member.incarnation
        self._on_change(self, change)
