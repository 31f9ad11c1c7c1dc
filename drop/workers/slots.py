"""The slots of one pool: what is known about each, and how many are in which state. Pure.

A pool has up to a thousand slots and is told something for each of them in a row; so what it asks
after every event (how many are left, is one out of date) is counted here, never searched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from drop.workers.health import Health
from drop.workers.slot import LIVE, SlotState


@dataclass(slots=True)
class Slot:
    """What is known about one place for a worker."""

    number: int
    stand_in: bool = False
    """It is there for a roll-out only."""
    state: SlotState = SlotState.STOPPED
    wanted: bool = False
    stale: bool = False
    """It runs what the pool ran before an update, or was told to be started anew."""
    renew: bool = False
    """We are ending its worker in order to start another."""
    pid: int = 0
    command: str = ""
    """What the worker runs; the pool's own may be newer."""
    health: Health | None = None
    """What it is asked: of its own version, for an older one may answer otherwise."""
    since: float = 0.0
    """When the present state began."""
    until: float = 0.0
    """When the timer of the present state fires; of no use in a state without one."""
    serving_since: float | None = None
    """When this worker was ready for messages; None: it is not, or never was."""
    restarts: int = 0
    fruitless: int = 0
    """Ends in a row without an answer."""
    # How the last worker ended:
    answered: int = 0
    """Messages; answers to health checks are not among them."""
    unanswered: int = 0
    clean: bool = False
    hopeless: bool = False
    error: str = ""
    fault: str = ""
    closed: str = ""
    """What it closed by itself: `stdin` or `stdout`."""
    unfit: bool = False
    """It failed its health check."""

    def served_since(self, then: float) -> bool:
        return self.serving_since is not None and self.serving_since <= then

    def begin(self, pid: int, command: str, health: Health | None) -> None:
        """A worker has been started in it, or (pid 0) has failed to start."""
        self.stale = self.renew = False
        self.pid, self.command, self.health = pid, command, health
        self.serving_since = None
        self.answered = self.unanswered = 0
        self.clean = self.hopeless = self.unfit = False
        self.error = self.fault = self.closed = ""


class Slots:
    def __init__(self, count: int) -> None:
        self.by_number: dict[int, Slot] = {}
        self._counts: Counter[SlotState] = Counter()
        for number in range(count):
            self.add(number)

    def __len__(self) -> int:
        return len(self.by_number)

    def __iter__(self) -> Iterator[Slot]:
        """All of them; some may be removed meanwhile."""
        return iter(list(self.by_number.values()))

    def add(self, number: int, *, stand_in: bool = False) -> Slot:
        """An empty place, or the one that is there already."""
        if slot := self.by_number.get(number):
            return slot
        slot = self.by_number[number] = Slot(number, stand_in)
        self._counts[slot.state] += 1
        return slot

    def remove(self, slot: Slot) -> None:
        self._counts[slot.state] -= 1
        del self.by_number[slot.number]

    def move(self, slot: Slot, state: SlotState, now: float) -> None:
        self._counts[slot.state] -= 1
        self._counts[state] += 1
        slot.state, slot.since = state, now
        if state is SlotState.RUNNING:
            slot.serving_since = now

    def count(self, *states: SlotState) -> int:
        return sum(self._counts[state] for state in states)

    def all_in(self, *states: SlotState) -> bool:
        return self.count(*states) == len(self.by_number)

    def live(self) -> int:
        return self.count(*LIVE)

    def next_to_ask(self, after: int) -> Slot | None:
        """The running one with the next higher number; behind the highest comes the lowest."""
        numbers = sorted(
            slot.number
            for slot in self.by_number.values()
            if slot.state is SlotState.RUNNING and slot.health is not None
        )
        if not numbers:
            return None
        later = (number for number in numbers if number > after)
        return self.by_number[next(later, numbers[0])]
