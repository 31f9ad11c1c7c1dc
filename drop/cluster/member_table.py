"""One other node as this one sees it: a table of states x events. Pure.

The first column, None, is a node that is not known. What `never` stands for cannot happen, because
events are made from what is known; a mistake of our own, which raises. A test walks every cell.
"""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum
from typing import NamedTuple

from drop.cluster.member import State


class Event(StrEnum):
    NEWER = "newer"  # heard, with a higher incarnation than known
    HEARD = "heard"  # heard; also when nothing was known
    TWIN = "twin"  # heard, the same incarnation, of a lower session than known
    OLDER = "older"  # heard, with a lower incarnation
    LEAVE = "leave"  # said goodbye
    LEAVE_OLDER = "leave_older"  # an earlier incarnation did
    AUDIBLE = "audible"  # looked at: it is not silent
    SILENT = "silent"  # looked at: silent for suspect_ms
    GONE = "gone"  # looked at: silent for dead_ms
    FORGET = "forget"  # a person wants it
    EXPIRE = "expire"  # kept for long enough, or its room is needed


class Step(StrEnum):
    IGNORE = "ignore"
    ADMIT = "admit"
    UPDATE = "update"
    RESTART = "restart"
    RETURN = "return"
    SUSPECT = "suspect"  # and ask it
    PROBE = "probe"
    BURY = "bury"
    PART = "part"
    REFUSE = "refuse"
    DROP = "drop"


class Cell(NamedTuple):
    state: State | None
    step: Step = Step.IGNORE


E = Event
_ALIVE, _SUSPECT, _DEAD, _LEFT = State
_RESTARTS = Cell(_ALIVE, Step.RESTART)
_RETURNS = Cell(_ALIVE, Step.RETURN)
_PARTS = Cell(_LEFT, Step.PART)
_DROPS = Cell(None, Step.DROP)


def _row(
    state: State | None,
    cells: dict[Event, Cell],
    *,
    ignored: Set[Event],
    never: Set[Event],
) -> dict[Event, Cell | None]:
    """One row; a missing or doubled cell does not survive the import."""
    named = [*cells, *ignored, *never]
    assert len(named) == len(set(named)) == len(Event), (state, set(Event) ^ set(named))
    row: dict[Event, Cell | None] = dict(cells)
    row.update({event: Cell(state) for event in ignored})
    row.update(dict.fromkeys(never))
    return row


TABLE: dict[State | None, dict[Event, Cell | None]] = {
    None: _row(
        None,
        {E.HEARD: Cell(_ALIVE, Step.ADMIT), E.FORGET: Cell(None, Step.REFUSE)},
        ignored={E.LEAVE, E.SILENT, E.GONE},
        never={E.NEWER, E.TWIN, E.OLDER, E.LEAVE_OLDER, E.AUDIBLE, E.EXPIRE},
    ),
    _ALIVE: _row(
        _ALIVE,
        {
            E.NEWER: _RESTARTS,
            E.HEARD: Cell(_ALIVE, Step.UPDATE),
            E.LEAVE: _PARTS,
            E.SILENT: Cell(_SUSPECT, Step.SUSPECT),
            # Not dead yet, however long it was silent: nobody is buried who was not asked.
            E.GONE: Cell(_SUSPECT, Step.SUSPECT),
            E.FORGET: Cell(_ALIVE, Step.REFUSE),
        },
        ignored={E.TWIN, E.OLDER, E.LEAVE_OLDER, E.AUDIBLE},
        never={E.EXPIRE},
    ),
    _SUSPECT: _row(
        _SUSPECT,
        {
            E.NEWER: _RESTARTS,
            E.HEARD: _RETURNS,
            E.LEAVE: _PARTS,
            E.AUDIBLE: _RETURNS,
            E.SILENT: Cell(_SUSPECT, Step.PROBE),
            E.GONE: Cell(_DEAD, Step.BURY),
            E.FORGET: Cell(_SUSPECT, Step.REFUSE),
        },
        ignored={E.TWIN, E.OLDER, E.LEAVE_OLDER},
        never={E.EXPIRE},
    ),
    _DEAD: _row(
        _DEAD,
        {
            E.NEWER: _RESTARTS,
            E.HEARD: _RETURNS,
            # The other one died, and this one has just proved that it lives. If clones quarrelled
            # about their id, the one that kept it need not have heard of the last incarnation.
            E.TWIN: _RETURNS,
            E.OLDER: _RETURNS,
            E.LEAVE: _PARTS,  # a goodbye that was long on its way
            E.FORGET: _DROPS,
            E.EXPIRE: _DROPS,
        },
        # Silence is the herald's word about peers that it keeps, and it keeps none that is dead.
        ignored={E.LEAVE_OLDER, E.SILENT, E.GONE},
        never={E.AUDIBLE},
    ),
    _LEFT: _row(
        _LEFT,
        {E.NEWER: _RESTARTS, E.FORGET: _DROPS, E.EXPIRE: _DROPS},
        # What it sent before its goodbye may come behind it.
        ignored={E.HEARD, E.TWIN, E.OLDER, E.LEAVE, E.LEAVE_OLDER, E.SILENT, E.GONE},
        never={E.AUDIBLE},
    ),
}


def step(state: State | None, event: Event) -> Cell:
    """The next state and what to do. Raises AssertionError for a `never` cell."""
    cell = TABLE[state][event]
    assert cell is not None, f"a node that is {state or 'unknown'} cannot get {event}"
    return cell
