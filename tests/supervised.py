"""A supervision driven by hand: pools in the states that tests start from, and short names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drop.workers import events as ev
from drop.workers.breaker import BreakerLimits
from drop.workers.slot import SlotState
from drop.workers.supervision import Supervision

POLICY = ev.Policy(
    pool="echo",
    command="./echo -x",
    log="/logs/echo.log",
    breaker=BreakerLimits(fruitless_max=3, open_seconds=4.0, proven_seconds=5.0),
)


def pool(workers: int = 1, restart: ev.Restart = ev.Restart.ALWAYS, **policy: Any) -> Supervision:
    return Supervision(replace(POLICY, workers=workers, restart=restart, **policy), lambda: 1.0)


def running(
    workers: int = 1, restart: ev.Restart = ev.Restart.ALWAYS, **policy: Any
) -> Supervision:
    it = pool(workers, restart, **policy)
    it.handle(ev.Start(), 0.0)
    for slot in range(workers):
        up(it, slot, 0.0)
    return it


def up(it: Supervision, slot: int, now: float) -> list[ev.Action]:
    """What was to be spawned is, and says that it is ready if it has to."""
    actions = it.handle(ev.Spawned(slot, pid=100 + slot), now)
    return it.handle(ev.Ready(slot), now) if it.policy.ready else actions


def without_reports(actions: list[ev.Action]) -> list[ev.Action]:
    return [action for action in actions if not isinstance(action, ev.Report)]


def reports(actions: list[ev.Action]) -> list[ev.Report]:
    return [action for action in actions if isinstance(action, ev.Report)]


def gone(slot: int = 0, reason: str = "eof", unanswered: int = 0, answered: int = 0) -> ev.Gone:
    return ev.Gone(slot, reason, unanswered, answered)


def exited(slot: int = 0, status: str = "exit code 3", *, clean: bool = False) -> ev.Exited:
    return ev.Exited(slot, status, clean)


def end(it: Supervision, now: float, slot: int = 0, answered: int = 0) -> list[ev.Action]:
    """The worker ends by itself: first the process, then what the reactor read from it."""
    assert without_reports(it.handle(exited(slot), now))[-1] == ev.TellExited(slot)
    return it.handle(gone(slot, answered=answered), now)


def leave(it: Supervision, slot: int, now: float) -> list[ev.Action]:
    """A worker that was told to stop does so."""
    it.handle(ev.Drained(slot), now)
    return it.handle(exited(slot, "exit code 0", clean=True), now)


def crash(it: Supervision, times: int, now: float = 0.0) -> list[ev.Action]:
    actions: list[ev.Action] = []
    for _ in range(times):
        if it.slots[0].state is SlotState.BACKOFF:
            it.handle(ev.SlotTimer(0), now)
            it.handle(ev.Spawned(0, 1), now)
        actions = end(it, now)
    return actions
