"""Every cell of the slot's table, written out a second time: what a reader expects of it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from drop.workers.slot import LIVE, TABLE, TIMED, SlotAction, SlotEvent, SlotState, step

# Rows are events, columns are states, cells the next state, all by their first four letters.
# "-": ignored. "!": never.
EXPECTED = """
                stop star read runn drai clos term leav kill exit ende back held
start           star -    !    !    !    !    !    !    !    !    !    star star
spawned         !    runn !    !    !    !    !    !    !    !    !    !    !
spawned_unready !    read !    !    !    !    !    !    !    !    !    !    !
ready           -    -    runn -    -    -    -    -    -    -    !    -    -
spawn_failed    !    ende !    !    !    !    !    !    !    !    !    !    !
gone            -    -    leav leav clos -    -    -    -    ende !    -    -
fault           -    -    kill kill kill -    -    -    -    ende !    -    -
drained         -    -    -    -    clos -    -    -    -    ende !    -    -
unfit           -    -    -    kill -    -    -    -    -    -    !    -    -
exited          !    !    exit exit exit ende ende ende ende !    !    !    !
timer           !    !    kill !    term term kill kill !    !    !    star !
stop            -    stop drai drai -    -    -    -    -    -    !    stop stop
terminate       -    stop term term term term -    term -    -    !    stop stop
kill            -    stop kill kill kill kill kill kill -    -    !    stop stop
retry           !    !    !    !    !    !    !    !    !    !    back !    !
again           !    !    !    !    !    !    !    !    !    !    star !    !
hold            !    held !    !    !    !    !    !    !    !    held held -
finish          !    !    !    !    !    !    !    !    !    !    stop !    !
"""

HEADER, *ROWS = EXPECTED.strip("\n").splitlines()
STATES = {state[:4]: state for state in SlotState}
CELLS = [
    (STATES[column], SlotEvent(row.split()[0]), STATES.get(cell, cell))
    for row in ROWS
    for column, cell in zip(HEADER.split(), row.split()[1:], strict=True)
]


def test_the_expectation_has_every_cell() -> None:
    every = set(itertools.product(SlotState, SlotEvent))
    assert {(state, event) for state, event, _ in CELLS} == every
    assert {(state, event) for state in TABLE for event in TABLE[state]} == every


@pytest.mark.parametrize(("state", "event", "expected"), CELLS)
def test_cell(state: SlotState, event: SlotEvent, expected: str) -> None:
    if expected == "!":
        with pytest.raises(AssertionError):
            step(state, event)
    elif expected == "-":
        assert step(state, event) == (state, ())
    else:
        assert step(state, event).state == expected


@pytest.mark.parametrize("state", SlotState)
def test_a_timer_is_set_exactly_where_a_state_needs_one(state: SlotState) -> None:
    timers = {action for action in SlotAction if action.startswith("timer_")}
    for row in TABLE.values():
        for cell in filter(None, row.values()):
            if cell.state is state and cell.actions:
                assert bool(timers & set(cell.actions)) == (state in TIMED)


def test_what_kills_a_worker_in_use_takes_it_from_the_reactor_first() -> None:
    for state in (SlotState.READYING, SlotState.RUNNING, SlotState.DRAINING):
        for event in (SlotEvent.TERMINATE, SlotEvent.KILL):
            assert step(state, event).actions[0] is SlotAction.REMOVE


def test_every_live_state_can_be_killed() -> None:
    for state in LIVE - {SlotState.KILLED}:
        cell = step(state, SlotEvent.KILL)
        assert cell.state is SlotState.KILLED
        assert SlotAction.SIGNAL_KILL in cell.actions


def test_the_documentation_has_the_same_table() -> None:
    text = (Path(__file__).parents[3] / "docs/supervision.md").read_text()
    told = {}
    for state, cells in re.findall(r"^\| `(\w+)` \| [^|]* \| (.*→.*) \|$", text, re.M):
        for part in cells.split("; "):
            events, after = part.split(" → ")
            told |= {(state, event): after.strip("`") for event in re.findall(r"\w+", events)}
    assert told == {
        (state, event): cell.state
        for state in TABLE
        for event, cell in TABLE[state].items()
        if cell and (cell.actions or cell.state is not state)
    }
