"""The native table of other nodes (c_src/peers.h), its rules told again in Python for simulations.

Lives, windows of sequences, challenges and doubts are as there; tags are left out, because nobody
in a simulation can sign for another. A nonce is a value that names who asked, of whom, and when.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from drop.cluster.member import Facts

INTERVAL = 0.5
ASKS_MAX = 8
DOUBT_SECONDS = 8 * INTERVAL
EPOCH_SECONDS = 8 * INTERVAL
WINDOW = (1 << 64) - 1
_NOTHING_BEFORE = WINDOW - 1

Nonce = tuple[object, object, int]


class Kind(Enum):
    BEACON = 1
    PROBE = 2
    LEAVE = 3


class Life:
    """One incarnation and session of a node: what is in every packet of it."""

    __slots__ = ("facts", "node_id", "order", "sequence")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.node_id = facts.node_id
        self.order = (facts.incarnation, facts.session)
        self.sequence = 0


@dataclass(slots=True, frozen=True, eq=False)
class Packet:
    life: Life
    kind: Kind
    sequence: int
    facts: Facts
    solicits: bool = False
    nonce: Nonce | None = None


class Track:
    """The packets of one life that have come."""

    __slots__ = ("gaps", "life", "top")

    def __init__(self, life: Life, sequence: int) -> None:
        self.life = life
        self.top = sequence
        self.gaps = _NOTHING_BEFORE  # bit n: top - n has not come

    def has_seen(self, sequence: int) -> bool:
        if sequence > self.top:
            return False
        age = self.top - sequence
        return age >= 64 or not self.gaps >> age & 1

    def mark(self, sequence: int) -> None:
        if sequence > self.top:
            step = min(sequence - self.top, 64)
            self.gaps = (self.gaps << step | (1 << step) - 2) & WINDOW
            self.top = sequence
        else:
            self.gaps &= ~(1 << (self.top - sequence))


class Entry:
    """What is known of one node; without a `track` it is not verified."""

    __slots__ = (
        *("asked_at", "asks", "candidate", "facts"),
        *("has_left", "heard_at", "source", "track"),
    )

    def __init__(self, now: float) -> None:
        self.track: Track | None = None
        self.candidate: Track | None = None
        self.facts: Facts | None = None
        self.source: object = None
        self.heard_at = now
        self.asked_at = 0.0
        self.asks = 0
        self.has_left = False


@dataclass(slots=True)
class Outcome:
    """What one packet leads to."""

    echo: Nonce | None = None  # to be answered with a beacon
    solicits: bool = False
    challenge: Nonce | None = None  # to be sent to where it came from
    heard: Facts | None = None
    left: Life | None = None
    conflict: Life | None = None


class Peers:
    """The table of one process. `own` is its life, replaced with its identity."""

    def __init__(self, own: Life) -> None:
        self.own = own
        self.secret = object()
        self.entries: dict[bytes, Entry] = {}
        self.asked: dict[bytes, Entry] = {}

    def set_own(self, own: Life) -> None:
        self.forget(own.node_id)
        self.forget(self.own.node_id)
        self.own = own

    def forget(self, node_id: bytes) -> None:
        self.entries.pop(node_id, None)
        self.asked.pop(node_id, None)

    def silent(self, milliseconds: int, now: float) -> dict[bytes, int]:
        limit = now - milliseconds / 1000
        found = [item for item in self.entries.items() if item[1].heard_at <= limit]
        return {
            node_id: int((now - entry.heard_at) * 1000)
            for node_id, entry in found
            if entry.track is not None and not entry.has_left
        }

    def meet_already(self, life: Life, source: object, now: float) -> None:
        """As if it had proved itself: to begin a large simulation in the middle."""
        entry = self.entries[life.node_id] = Entry(now)
        entry.track, entry.facts, entry.source = Track(life, life.sequence), life.facts, source

    # --- questions ---

    def ask(self, node_id: bytes, now: float) -> tuple[Nonce, object] | None:
        """The nonce, and where to send it."""
        entry = self.entries.get(node_id)
        if entry is None or (track := entry.candidate or entry.track) is None:
            return None
        entry.asked_at = now
        entry.asks = min(entry.asks + 1, ASKS_MAX)
        self.asked[node_id] = entry
        return self._nonce(track.life, now), entry.source

    def ask_again(self, now: float) -> list[tuple[Nonce, object]]:
        """To be done once an interval: who has not answered is asked again, or given up."""
        found = []
        for node_id, entry in list(self.asked.items()):
            if entry.asks == 0:
                del self.asked[node_id]
            elif now - entry.asked_at < INTERVAL * 0.95:
                continue
            elif entry.asks < ASKS_MAX:
                asked = self.ask(node_id, now)
                assert asked is not None
                found.append(asked)
            else:
                entry.asks, entry.candidate = 0, None
                del self.asked[node_id]
                if entry.track is None:
                    self.forget(node_id)
        return found

    def _nonce(self, life: Life, now: float) -> Nonce:
        return self.secret, life, int(now / EPOCH_SECONDS)

    def _has_echoed(self, packet: Packet, now: float) -> bool:
        if packet.kind is not Kind.BEACON or packet.nonce is None:
            return False
        secret, life, epoch = packet.nonce
        fresh = int(now / EPOCH_SECONDS) - epoch <= 1
        return secret is self.secret and life is packet.life and fresh

    # --- packets ---

    def receive(self, packet: Packet, source: object, now: float) -> Outcome | None:
        """None: it was dropped."""
        life = packet.life
        if life is self.own:
            return None
        entry = self.entries.get(life.node_id)
        if entry is not None and self._is_over(entry, packet):
            return None
        outcome = Outcome(solicits=packet.solicits)
        if packet.kind is Kind.PROBE:
            outcome.echo = packet.nonce
        if entry is not None and entry.track is not None and entry.track.life is life:
            self._go_on(entry, packet, source, now, outcome)
            return outcome
        if packet.kind is Kind.LEAVE:
            return outcome
        if entry is None:
            entry = self.entries[life.node_id] = Entry(now)
        if self._has_echoed(packet, now):
            self._verify(entry, packet, source, now, outcome)
        else:
            self._meet(entry, packet, source, now, outcome)
        return outcome

    def _is_over(self, entry: Entry, packet: Packet) -> bool:
        track, candidate, life = entry.track, entry.candidate, packet.life
        if track is not None:
            if track.life is life:
                late = entry.has_left and packet.kind is not Kind.LEAVE
                return late or track.has_seen(packet.sequence)
            gone = entry.has_left and life.order[0] == track.life.order[0]
            if gone or life.order <= track.life.order:
                return True
        return (
            candidate is not None and candidate.life is life and candidate.has_seen(packet.sequence)
        )

    def _go_on(
        self, entry: Entry, packet: Packet, source: object, now: float, outcome: Outcome
    ) -> None:
        assert entry.track is not None
        doubted = now - entry.heard_at > DOUBT_SECONDS
        newest = packet.sequence > entry.track.top
        entry.track.mark(packet.sequence)
        if packet.kind is Kind.LEAVE:
            if not entry.has_left:
                entry.has_left, entry.asks, outcome.left = True, 0, packet.life
        elif self._has_echoed(packet, now):
            if entry.candidate is None:
                entry.asks = 0
            if newest:
                self._hear(entry, packet, source, now, outcome, news=doubted)
            else:
                entry.heard_at = now
        elif not newest:
            pass  # overtaken, or played again: it says nothing of now, and what it says is old
        elif not doubted:
            self._hear(entry, packet, source, now, outcome, news=False)
        elif entry.asks == 0:
            outcome.challenge = self._challenge(packet.life.node_id, now)

    def _challenge(self, node_id: bytes, now: float) -> Nonce:
        asked = self.ask(node_id, now)
        assert asked is not None
        return asked[0]

    def _hear(
        self,
        entry: Entry,
        packet: Packet,
        source: object,
        now: float,
        outcome: Outcome,
        *,
        news: bool,
    ) -> None:
        if news or entry.facts is not packet.facts:
            outcome.heard = packet.facts
        entry.facts, entry.source, entry.heard_at = packet.facts, source, now

    def _verify(
        self, entry: Entry, packet: Packet, source: object, now: float, outcome: Outcome
    ) -> None:
        candidate = entry.candidate
        if packet.life.node_id == self.own.node_id:
            # Nothing is kept of it: another clone may come, with a lower incarnation.
            outcome.conflict = packet.life
            self.forget(self.own.node_id)
            return
        if candidate is not None and candidate.life is packet.life:
            entry.track = candidate
            candidate.mark(packet.sequence)
        else:
            entry.track = Track(packet.life, packet.sequence)
        entry.candidate, entry.asks, entry.has_left = None, 0, False
        self._hear(entry, packet, source, now, outcome, news=True)

    def _meet(
        self, entry: Entry, packet: Packet, source: object, now: float, outcome: Outcome
    ) -> None:
        candidate, life = entry.candidate, packet.life
        if candidate is not None and candidate.life is life:
            candidate.mark(packet.sequence)
        elif candidate is None or life.order > candidate.life.order:
            entry.candidate = Track(life, packet.sequence)
            entry.asks = 0
        elif now - entry.asked_at >= INTERVAL / 4:
            entry.asked_at = now
            outcome.challenge = self._nonce(life, now)
            return
        if entry.track is None:
            entry.facts, entry.source = packet.facts, source
        if entry.asks == 0:
            outcome.challenge = self._challenge(life.node_id, now)
