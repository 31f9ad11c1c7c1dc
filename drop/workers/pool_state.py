"""A pool as a whole: a table of states x events. Pure.

None: it cannot happen; a mistake of our own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class PoolState(StrEnum):
    NEW = "new"
    UP = "up"
    DRAINING = "draining"  # takes nothing new; what it has accepted goes on as if nothing were
    STOPPING = "stopping"  # the workers are being stopped
    STOPPED = "stopped"


class PoolEvent(StrEnum):
    START = "start"
    STOP = "stop"
    KILL = "kill"
    DRAINED = "drained"
    TIMER = "timer"
    EMPTY = "empty"  # all slots are stopped


class PoolAction(StrEnum):
    START_SLOTS = "start_slots"
    DRAIN = "drain"
    STOP_SLOTS = "stop_slots"
    TERMINATE_SLOTS = "terminate_slots"
    KILL_SLOTS = "kill_slots"
    FINISH = "finish"


class PoolCell(NamedTuple):
    state: PoolState
    action: PoolAction | None = None


_P, _E, _A = PoolState, PoolEvent, PoolAction

TABLE: dict[PoolState, dict[PoolEvent, PoolCell | None]] = {
    _P.NEW: {
        _E.START: PoolCell(_P.UP, _A.START_SLOTS),
        _E.STOP: PoolCell(_P.STOPPED, _A.FINISH),
        _E.KILL: PoolCell(_P.STOPPED, _A.FINISH),
        _E.DRAINED: None,
        _E.TIMER: None,
        _E.EMPTY: None,
    },
    _P.UP: {
        _E.START: PoolCell(_P.UP),
        _E.STOP: PoolCell(_P.DRAINING, _A.DRAIN),
        _E.KILL: PoolCell(_P.STOPPING, _A.KILL_SLOTS),
        _E.DRAINED: PoolCell(_P.UP),
        _E.TIMER: None,
        _E.EMPTY: PoolCell(_P.UP),  # `restart: never`, and all have ended
    },
    _P.DRAINING: {
        _E.START: PoolCell(_P.DRAINING),
        _E.STOP: PoolCell(_P.DRAINING),
        _E.KILL: PoolCell(_P.STOPPING, _A.KILL_SLOTS),
        _E.DRAINED: PoolCell(_P.STOPPING, _A.STOP_SLOTS),
        _E.TIMER: PoolCell(_P.STOPPING, _A.TERMINATE_SLOTS),
        _E.EMPTY: PoolCell(_P.DRAINING),  # refused by now, so that DRAINED is near
    },
    _P.STOPPING: {
        _E.START: PoolCell(_P.STOPPING),
        _E.STOP: PoolCell(_P.STOPPING),
        _E.KILL: PoolCell(_P.STOPPING, _A.KILL_SLOTS),
        _E.DRAINED: PoolCell(_P.STOPPING),
        _E.TIMER: None,
        _E.EMPTY: PoolCell(_P.STOPPED, _A.FINISH),
    },
    _P.STOPPED: {
        _E.START: PoolCell(_P.STOPPED),
        _E.STOP: PoolCell(_P.STOPPED),
        _E.KILL: PoolCell(_P.STOPPED),
        _E.DRAINED: PoolCell(_P.STOPPED),
        _E.TIMER: None,
        _E.EMPTY: PoolCell(_P.STOPPED),
    },
}
