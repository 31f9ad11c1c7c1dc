"""Every cell of the slot's table, written out a second time: what a reader expects of it."""

from __future__ import annotations

import itertools

import pytest

from drop.workers.slot import LIVE, TABLE, TIMED, SlotAction, SlotEvent, SlotState, step

# state: event -> "next action action"; "-": ignored; "!": never.
# Columns in the order of SlotEvent.
EXPECTED = """
              start    spawned spawn_failed gone    fault   drained  exited timer       stop     terminate   kill    retry   again    hold  finish
stopped       starting !       !            -       -       -        !      !           -        -           -       !       !        !     !
starting      -        running ended        -       -       -        !      !           stopped  stopped     stopped !       !        !     !
running       !        !       !            leaving killed  -        exited !           draining terminating killed  !       !        !     !
draining      !        !       !            closing killed  closing  exited terminating -        terminating killed  !       !        !     !
closing       !        !       !            -       -       -        ended  terminating -        terminating killed  !       !        !     !
terminating   !        !       !            -       -       -        ended  killed      -        -           killed  !       !        !     !
leaving       !        !       !            -       -       -        ended  killed      -        terminating killed  !       !        !     !
killed        !        !       !            -       -       -        ended  !           -        -           -       !       !        !     !
exited        !        !       !            ended   ended   ended    !      !           -        -           -       !       !        !     !
ended         !        !       !            !       !       !        !      !           !        !           !       backoff starting held  stopped
backoff       -        !       !            -       -       -        !      starting    stopped  stopped     stopped !       !        held  !
held          starting !       !            -       -       -        !      !           stopped  stopped     stopped !       !        -     !
"""  # noqa: E501

HEADER, *ROWS = [line.split() for line in EXPECTED.strip().splitlines()]
CELLS = [
    (SlotState(row[0]), SlotEvent(event), cell)
    for row in ROWS
    for event, cell in zip(HEADER, row[1:], strict=True)
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
    for state in (SlotState.RUNNING, SlotState.DRAINING):
        for event in (SlotEvent.TERMINATE, SlotEvent.KILL):
            assert step(state, event).actions[0] is SlotAction.REMOVE


def test_every_live_state_can_be_killed() -> None:
    for state in LIVE - {SlotState.KILLED}:
        cell = step(state, SlotEvent.KILL)
        assert cell.state is SlotState.KILLED
        assert SlotAction.SIGNAL_KILL in cell.actions
