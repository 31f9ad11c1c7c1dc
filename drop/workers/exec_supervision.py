"""Keeps a pool of kind exec going: event, time in; actions out. Pure.

The dataplane starts the processes itself, one for each message; an exit code other than 0 is an
answer to its caller and no concern of ours. What is left to decide is what happens when a process
cannot be started at all: callers are refused with the reason, and it is tried again with back-off.

States x events are a table, as in `slot.py`; `None`: it cannot happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from drop.workers import events as ev
from drop.workers.backoff import backoff_seconds

BACKOFF_SECONDS = 1.0
"""Before the first new try; a command that is not there is put there by somebody."""


class State(StrEnum):
    NEW = "new"
    UP = "up"
    FAILING = "failing"  # the last start failed; waits before the next one
    TRIAL = "trial"  # tries it again
    DRAINING = "draining"
    STOPPED = "stopped"


class Event(StrEnum):
    START = "start"
    FAILED = "failed"
    WORKS = "works"
    TIMER = "timer"
    UPDATE = "update"
    STOP = "stop"
    DRAINED = "drained"
    KILL = "kill"


class Action(StrEnum):
    CONFIGURE = "configure"  # tell the dataplane how to start processes
    RESUME = "resume"  # let it try once
    REFUSE = "refuse"  # tell callers why, wait for the next try
    FORGET = "forget"  # why it failed; what is new may work
    ACCEPT = "accept"  # a process was started
    DRAIN = "drain"
    FINISH = "finish"


class Cell(NamedTuple):
    state: State
    actions: tuple[Action, ...] = ()


_S, _E, _A = State, Event, Action

_FAIL = Cell(_S.FAILING, (_A.REFUSE,))
_STOP = Cell(_S.STOPPED, (_A.FINISH,))
_DRAIN = Cell(_S.DRAINING, (_A.DRAIN,))
_RENEW = Cell(_S.UP, (_A.FORGET, _A.CONFIGURE))

TABLE: dict[State, dict[Event, Cell | None]] = {
    _S.NEW: {
        _E.START: Cell(_S.UP, (_A.CONFIGURE,)),
        _E.FAILED: None,
        _E.WORKS: None,
        _E.TIMER: None,
        _E.UPDATE: Cell(_S.NEW),
        _E.STOP: _STOP,
        _E.DRAINED: None,
        _E.KILL: _STOP,
    },
    _S.UP: {
        _E.START: Cell(_S.UP),
        _E.FAILED: _FAIL,
        _E.WORKS: Cell(_S.UP),
        _E.TIMER: None,
        _E.UPDATE: Cell(_S.UP, (_A.CONFIGURE,)),
        _E.STOP: _DRAIN,
        _E.DRAINED: Cell(_S.UP),
        _E.KILL: _STOP,
    },
    _S.FAILING: {
        _E.START: Cell(_S.FAILING),
        _E.FAILED: Cell(_S.FAILING),  # of one that was on its way
        _E.WORKS: Cell(_S.FAILING),
        _E.TIMER: Cell(_S.TRIAL, (_A.RESUME,)),
        _E.UPDATE: _RENEW,
        _E.STOP: _DRAIN,
        _E.DRAINED: Cell(_S.FAILING),
        _E.KILL: _STOP,
    },
    _S.TRIAL: {
        _E.START: Cell(_S.TRIAL),
        _E.FAILED: _FAIL,
        _E.WORKS: Cell(_S.UP, (_A.ACCEPT,)),
        _E.TIMER: None,
        _E.UPDATE: _RENEW,
        _E.STOP: _DRAIN,
        _E.DRAINED: Cell(_S.TRIAL),
        _E.KILL: _STOP,
    },
    _S.DRAINING: {
        _E.START: Cell(_S.DRAINING),
        # What waits would wait for the whole grace: it is refused, and then it has drained.
        _E.FAILED: Cell(_S.DRAINING, (_A.REFUSE,)),
        _E.WORKS: Cell(_S.DRAINING),
        _E.TIMER: _STOP,
        _E.UPDATE: Cell(_S.DRAINING),
        _E.STOP: Cell(_S.DRAINING),
        _E.DRAINED: _STOP,
        _E.KILL: _STOP,
    },
    _S.STOPPED: dict.fromkeys(_E, Cell(_S.STOPPED)),
}


@dataclass(frozen=True, slots=True)
class Configure:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    pass


Asked = (
    Configure
    | Resume
    | ev.Refuse
    | ev.SetTimer
    | ev.CancelTimer
    | ev.DrainPool
    | ev.Report
    | ev.PoolStopped
)


class ExecSupervision:
    """`slots`, `refusal`, `last_error`, `state`, `policy` read as those of `Supervision`."""

    def __init__(self, policy: ev.Policy, random: Callable[[], float]) -> None:
        self.policy = policy
        self.state = State.NEW
        self.last_error = ""
        self.refusal: str | None = None
        self._random = random
        self._failures = 0  # in a row
        self._grace_seconds = 0.0
        self._actions: list[Asked] = []

    def handle(self, event: Event, *, error: str = "", grace_seconds: float = 0.0) -> list[Asked]:
        """Take one event; returns what to do, in order."""
        self._actions = []
        if event is Event.FAILED:
            self.last_error = error
        if event is Event.STOP:
            self._grace_seconds = grace_seconds
        cell = TABLE[self.state][event]
        assert cell is not None, f"a {self.state} pool cannot get {event}"
        if self.state is State.FAILING and cell.state is not State.FAILING:
            self._actions.append(ev.CancelTimer("pool"))
        self.state = cell.state
        for action in cell.actions:
            self._act(action)
        return self._actions

    def spares_off(self, reason: str) -> list[Asked]:
        text = (
            f"{self.policy.command}: a process {reason}, so none is kept ready any more: one is "
            "started for each message; `spare: 0` in the flow says so from the start"
        )
        return [ev.Report("warning", "spares_off", text)]

    def _act(self, action: Action) -> None:
        match action:
            case Action.CONFIGURE:
                self._do(Configure())
            case Action.RESUME:
                self._do(Resume())
            case Action.REFUSE:
                self._refuse()
            case Action.FORGET:
                self._forget()
            case Action.ACCEPT:
                self._forget()
                text = f"{self.policy.command}: can be started again"
                self._do(ev.Report("info", "spawn_works", text))
            case Action.DRAIN:
                self._do(ev.DrainPool(), ev.SetTimer("pool", self._grace_seconds))
            case Action.FINISH:
                self._do(ev.CancelTimer("pool"), ev.PoolStopped())

    def _forget(self) -> None:
        self._failures, self.refusal = 0, None
        self._do(ev.Refuse(None))

    def _refuse(self) -> None:
        seconds = self._backoff_seconds()
        self._failures += 1
        self.refusal = f"it cannot be started: {self.last_error}; its log: {self.policy.log}"
        self._do(ev.Refuse(self.refusal))
        text = f"{self.last_error}; tried again in {seconds:.1f} s"
        self._do(ev.Report("error", "spawn_failed", text))
        if self.state is State.FAILING:
            self._do(ev.SetTimer("pool", seconds))

    def _backoff_seconds(self) -> float:
        """What was wrong is usually mended by a person."""
        longest = self.policy.backoff_seconds_max
        return backoff_seconds(BACKOFF_SECONDS, longest, self._failures, self._random())

    def _do(self, *actions: Asked) -> None:
        self._actions.extend(actions)
