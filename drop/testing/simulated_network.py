"""A network that loses, delays, doubles and reorders packets, is cut and heals: all from a seed.

A multicast is one event that finds all its receivers, or a few when delays differ: a thousand nodes
send two million packets a second to each other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drop.testing.clock import FakeClock
from drop.testing.simulated_peers import DOUBT_SECONDS, WINDOW, Kind, Packet

if TYPE_CHECKING:
    from drop.testing.simulated_node import SimulatedNode

CLASSES = 3
"""Different delays that the receivers of one multicast have."""
RECORDED_MAX = 64
SLOW_FACTOR = 10.0
SLOW_SHARE = 0.05


@dataclass(slots=True)
class Weather:
    loss: float = 0.0
    doubled: float = 0.0
    delay_max: float = 0.002
    """A few of the packets take SLOW_FACTOR times as long: so later ones overtake them."""


class Network:
    def __init__(self, clock: FakeClock, dice: random.Random) -> None:
        self.clock = clock
        self.weather = Weather()
        self.nodes: list[SimulatedNode] = []
        self.sides: dict[SimulatedNode, int] = {}
        """In a partition: who is on which side; else empty."""
        self.cuts: set[tuple[SimulatedNode, SimulatedNode]] = set()
        self.recorded: list[Packet] = []
        """Old packets, for an attacker to play again."""
        self.sent = 0
        self._dice = dice

    def multicast(self, sender: SimulatedNode, packet: Packet) -> None:
        self.sent += 1
        if self._dice.random() < 0.02 and len(self.recorded) < RECORDED_MAX:
            self.recorded.append(packet)
        receivers = [each for each in self.nodes if each.is_up]
        if self.sides or self.cuts:
            receivers = [each for each in receivers if self.reaches(sender, each)]
        weather, roll = self.weather, self._dice.random
        if weather.loss:
            receivers = [each for each in receivers if roll() >= weather.loss]
        if weather.doubled:
            receivers += [each for each in receivers if roll() < weather.doubled]
        if weather.delay_max <= 0.01:
            self._later(packet, sender, receivers)
            return
        for start in range(CLASSES):
            self._later(packet, sender, receivers[start::CLASSES])

    def unicast(self, sender: SimulatedNode, receiver: object, packet: Packet) -> None:
        self.sent += 1
        if not isinstance(receiver, type(sender)) or not self.reaches(sender, receiver):
            return  # also what an attacker's packets are answered with
        if self._dice.random() >= self.weather.loss:
            self._later(packet, sender, [receiver])
            if self.weather.doubled and self._dice.random() < self.weather.doubled:
                self._later(packet, sender, [receiver])

    def replay(self) -> None:
        """Somebody who has no key sends what was recorded, from an address of its own."""
        for packet in self.recorded:
            self._later(packet, None, [each for each in self.nodes if each.is_up])

    def reaches(self, sender: SimulatedNode, receiver: SimulatedNode) -> bool:
        if (sender, receiver) in self.cuts:
            return False
        return not self.sides or self.sides.get(sender) == self.sides.get(receiver)

    def heal(self) -> None:
        self.sides.clear()
        self.cuts.clear()
        self.weather = Weather()

    # --- arrival ---

    def _later(self, packet: Packet, source: object, receivers: list[SimulatedNode]) -> None:
        roll = self._dice.random
        delay = self.weather.delay_max * roll() * (SLOW_FACTOR if roll() < SLOW_SHARE else 1.0)
        self.clock.call_later(delay, lambda: self._arrive(packet, source, receivers))

    def _arrive(self, packet: Packet, source: object, receivers: list[SimulatedNode]) -> None:
        """The next beacon of a node that is known is nearly all there is: it takes no call."""
        now, life, sequence = self.clock.now(), packet.life, packet.sequence
        node_id, facts = life.node_id, packet.facts
        plain = packet.kind is Kind.BEACON and packet.nonce is None and not packet.solicits
        heard_after = now - DOUBT_SECONDS
        for receiver in receivers:
            entry = receiver.entries.get(node_id)
            if (
                plain
                and entry is not None
                and entry.facts is facts
                and (track := entry.track) is not None
                and track.life is life
                and sequence == track.top + 1
                and entry.heard_at >= heard_after
                and not entry.has_left
                and receiver.is_running
                and source is entry.source
            ):
                track.top = sequence
                track.gaps = track.gaps << 1 & WINDOW
                entry.heard_at = now
            else:
                receiver.receive(packet, source)
