"""One place for a worker in a pool: a table of states x events. Pure.

A slot outlives its workers: when one ends, the pool judges whether the slot gets another. Two
things end independently of each other, in either order: the process, and the reactor's use of its
pipes. A slot has ended when both have.

`late` events are ignored in that state: the reactor or the kernel may send them after we moved on.
`never` events mean a mistake of our own; they raise. A test walks every cell.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class SlotState(StrEnum):
    STOPPED = "stopped"  # nothing runs, nothing will
    STARTING = "starting"  # waits for its turn to be spawned
    READYING = "readying"  # the process lives; it gets nothing before it says that it is ready
    RUNNING = "running"  # the process lives, the reactor feeds it
    DRAINING = "draining"  # gets nothing new, still owes answers
    CLOSING = "closing"  # its stdin is closed, which means stop
    TERMINATING = "terminating"  # had SIGTERM
    LEAVING = "leaving"  # closed a pipe by itself: about to exit, or broken
    KILLED = "killed"  # had SIGKILL
    EXITED = "exited"  # the process is dead; the reactor still reads what it left in the pipe
    ENDED = "ended"  # both are over; judged within the same step, so no slot rests here
    BACKOFF = "backoff"  # waits before its next start
    HELD = "held"  # waits for the breaker


class SlotEvent(StrEnum):
    START = "start"  # or: do not wait any longer
    SPAWNED = "spawned"  # and ready with that: it has nothing to say before it is
    SPAWNED_UNREADY = "spawned_unready"
    READY = "ready"  # the line came that says so
    SPAWN_FAILED = "spawn_failed"
    GONE = "gone"  # the reactor closed the pipes: the worker closed its end, or we asked
    FAULT = "fault"  # the reactor closed the pipes: timeout, or the worker broke its contract
    DRAINED = "drained"  # the reactor has the last answer and closed the pipes
    UNFIT = "unfit"  # it failed its health check
    EXITED = "exited"
    TIMER = "timer"
    STOP = "stop"  # let it answer what it has, then close its stdin
    TERMINATE = "terminate"  # the time for answers is over
    KILL = "kill"
    RETRY = "retry"  # the four verdicts about a slot that has ended
    AGAIN = "again"  # without a wait
    HOLD = "hold"
    FINISH = "finish"


class SlotAction(StrEnum):
    SPAWN = "spawn"
    CANCEL_SPAWN = "cancel_spawn"
    DRAIN = "drain"  # reactor.worker_remove(drain=True)
    REMOVE = "remove"  # reactor.worker_remove(drain=False)
    TELL_EXITED = "tell_exited"  # reactor.worker_exited
    SIGNAL_TERM = "signal_term"  # to the process group, as is the next
    SIGNAL_KILL = "signal_kill"
    TIMER_START = "timer_start"
    TIMER_GRACE = "timer_grace"
    TIMER_CLOSE = "timer_close"
    TIMER_TERM = "timer_term"
    TIMER_LEAVE = "timer_leave"
    TIMER_BACKOFF = "timer_backoff"
    JUDGE = "judge"


class Cell(NamedTuple):
    state: SlotState
    actions: tuple[SlotAction, ...] = ()


S, E, A = SlotState, SlotEvent, SlotAction

TIMED = frozenset({S.READYING, S.DRAINING, S.CLOSING, S.TERMINATING, S.LEAVING, S.BACKOFF})
"""States that have a timer. It is cancelled when such a state is left; no other has one."""

LIVE = frozenset({S.READYING, S.RUNNING, S.DRAINING, S.CLOSING, S.TERMINATING, S.LEAVING, S.KILLED})
"""States with a living process, as far as we know."""

_PIPES_END = {E.GONE, E.FAULT, E.DRAINED}
_VERDICTS = {E.RETRY, E.AGAIN, E.HOLD, E.FINISH}
_SPAWN_ENDS = {E.SPAWNED, E.SPAWNED_UNREADY, E.SPAWN_FAILED}
_NEWS = {E.READY, E.UNFIT}  # of a worker, and possibly read after its end
_ORDERS = {E.STOP, E.TERMINATE, E.KILL}
_NEVER_ALIVE = {E.START, *_SPAWN_ENDS, *_VERDICTS}

_ENDED = Cell(S.ENDED, (A.JUDGE,))
_KILL = Cell(S.KILLED, (A.SIGNAL_KILL,))
_KILL_IN_USE = Cell(S.KILLED, (A.REMOVE, A.SIGNAL_KILL))
_TERMINATE = Cell(S.TERMINATING, (A.SIGNAL_TERM, A.TIMER_TERM))
_TERMINATE_IN_USE = Cell(S.TERMINATING, (A.REMOVE, A.SIGNAL_TERM, A.TIMER_TERM))
_CLOSE = Cell(S.CLOSING, (A.TIMER_CLOSE,))
_DIED = Cell(S.EXITED, (A.TELL_EXITED,))
_SPAWN = Cell(S.STARTING, (A.SPAWN,))
_UNQUEUE = Cell(S.STOPPED, (A.CANCEL_SPAWN,))
_STOPPED = Cell(S.STOPPED)


def _row(
    state: SlotState,
    cells: dict[SlotEvent, Cell],
    *,
    late: set[SlotEvent],
    never: set[SlotEvent],
) -> dict[SlotEvent, Cell | None]:
    """One row; a missing or doubled cell does not survive the import."""
    named = [*cells, *late, *never]
    assert len(named) == len(set(named)) == len(SlotEvent), (state, set(SlotEvent) ^ set(named))
    row: dict[SlotEvent, Cell | None] = dict(cells)
    row.update({event: Cell(state) for event in late})
    row.update(dict.fromkeys(never))
    return row


TABLE: dict[SlotState, dict[SlotEvent, Cell | None]] = {
    S.STOPPED: _row(
        S.STOPPED,
        {E.START: _SPAWN},
        late={*_PIPES_END, *_NEWS, *_ORDERS},
        never={E.EXITED, E.TIMER, *_SPAWN_ENDS, *_VERDICTS},
    ),
    S.STARTING: _row(
        S.STARTING,
        {
            E.SPAWNED: Cell(S.RUNNING),
            E.SPAWNED_UNREADY: Cell(S.READYING, (A.TIMER_START,)),
            E.SPAWN_FAILED: _ENDED,
            E.HOLD: Cell(S.HELD, (A.CANCEL_SPAWN,)),
            E.STOP: _UNQUEUE,
            E.TERMINATE: _UNQUEUE,
            E.KILL: _UNQUEUE,
        },
        late={*_PIPES_END, *_NEWS, E.START},
        never={E.EXITED, E.TIMER, E.RETRY, E.AGAIN, E.FINISH},
    ),
    S.READYING: _row(
        S.READYING,
        {
            E.READY: Cell(S.RUNNING),
            E.GONE: Cell(S.LEAVING, (A.TIMER_LEAVE,)),
            E.FAULT: _KILL,
            E.EXITED: _DIED,
            E.TIMER: _KILL_IN_USE,
            E.STOP: Cell(S.DRAINING, (A.DRAIN, A.TIMER_GRACE)),
            E.TERMINATE: _TERMINATE_IN_USE,
            E.KILL: _KILL_IN_USE,
        },
        late={E.DRAINED, E.UNFIT},
        never=_NEVER_ALIVE,
    ),
    S.RUNNING: _row(
        S.RUNNING,
        {
            E.UNFIT: _KILL_IN_USE,
            E.GONE: Cell(S.LEAVING, (A.TIMER_LEAVE,)),
            E.FAULT: _KILL,
            E.EXITED: _DIED,
            E.STOP: Cell(S.DRAINING, (A.DRAIN, A.TIMER_GRACE)),
            E.TERMINATE: _TERMINATE_IN_USE,
            E.KILL: _KILL_IN_USE,
        },
        late={E.DRAINED, E.READY},
        never={E.TIMER, *_NEVER_ALIVE},
    ),
    S.DRAINING: _row(
        S.DRAINING,
        {
            E.DRAINED: _CLOSE,
            E.GONE: _CLOSE,
            E.FAULT: _KILL,
            E.EXITED: _DIED,
            E.TIMER: _TERMINATE_IN_USE,
            E.TERMINATE: _TERMINATE_IN_USE,
            E.KILL: _KILL_IN_USE,
        },
        late={*_NEWS, E.STOP},
        never=_NEVER_ALIVE,
    ),
    S.CLOSING: _row(
        S.CLOSING,
        {
            E.EXITED: _ENDED,
            E.TIMER: _TERMINATE,
            E.TERMINATE: _TERMINATE,
            E.KILL: _KILL,
        },
        late={*_PIPES_END, *_NEWS, E.STOP},
        never=_NEVER_ALIVE,
    ),
    S.TERMINATING: _row(
        S.TERMINATING,
        {E.EXITED: _ENDED, E.TIMER: _KILL, E.KILL: _KILL},
        late={*_PIPES_END, *_NEWS, E.STOP, E.TERMINATE},
        never=_NEVER_ALIVE,
    ),
    S.LEAVING: _row(
        S.LEAVING,
        {
            E.EXITED: _ENDED,
            E.TIMER: _KILL,
            E.TERMINATE: _TERMINATE,
            E.KILL: _KILL,
        },
        late={*_PIPES_END, *_NEWS, E.STOP},
        never=_NEVER_ALIVE,
    ),
    S.KILLED: _row(
        S.KILLED,
        {E.EXITED: _ENDED},
        late={*_PIPES_END, *_NEWS, *_ORDERS},
        never={E.TIMER, *_NEVER_ALIVE},
    ),
    S.EXITED: _row(
        S.EXITED,
        dict.fromkeys(_PIPES_END, _ENDED),
        late={*_NEWS, *_ORDERS},
        never={E.EXITED, E.TIMER, *_NEVER_ALIVE},
    ),
    S.ENDED: _row(
        S.ENDED,
        {
            E.RETRY: Cell(S.BACKOFF, (A.TIMER_BACKOFF,)),
            E.AGAIN: _SPAWN,
            E.HOLD: Cell(S.HELD),
            E.FINISH: _STOPPED,
        },
        late=set(),
        never={E.START, E.EXITED, E.TIMER, *_SPAWN_ENDS, *_NEWS, *_PIPES_END, *_ORDERS},
    ),
    S.BACKOFF: _row(
        S.BACKOFF,
        {
            E.TIMER: _SPAWN,
            E.START: _SPAWN,
            E.HOLD: Cell(S.HELD),
            **dict.fromkeys(_ORDERS, _STOPPED),
        },
        late={*_PIPES_END, *_NEWS},
        never={E.EXITED, E.RETRY, E.AGAIN, E.FINISH, *_SPAWN_ENDS},
    ),
    S.HELD: _row(
        S.HELD,
        {E.START: _SPAWN, **dict.fromkeys(_ORDERS, _STOPPED)},
        late={*_PIPES_END, *_NEWS, E.HOLD},
        never={E.EXITED, E.TIMER, E.RETRY, E.AGAIN, E.FINISH, *_SPAWN_ENDS},
    ),
}


def step(state: SlotState, event: SlotEvent) -> Cell:
    """The next state and what to do, in this order. Raises AssertionError for a `never` cell."""
    cell = TABLE[state][event]
    assert cell is not None, f"a {state} slot cannot get {event}"
    return cell
