"""The table of one node's states: every cell."""

from __future__ import annotations

import itertools

import pytest

from drop.cluster.member import State
from drop.cluster.member_table import TABLE, Cell, Event, Step, step

#: By state, in the order of the events: the next state and the step; "-" is `never`.
CELLS = """
          newer          heard          twin          older          leave      leave_older
unknown   -              alive.admit    -             -              unknown    -
alive     alive.restart  alive.update   alive         alive          left.part  alive
suspect   alive.restart  alive.return   suspect       suspect        left.part  suspect
dead      alive.restart  alive.return   alive.return  alive.return   left.part  dead
left      alive.restart  left           left          left           left       left

          audible        silent            gone              forget          expire
unknown   -              unknown           unknown           unknown.refuse  -
alive     alive          suspect.suspect   suspect.suspect   alive.refuse    -
suspect   alive.return   suspect.probe     dead.bury         suspect.refuse  -
dead      -              dead              dead              unknown.drop    unknown.drop
left      -              left              left              unknown.drop    unknown.drop
"""


def cells() -> list[tuple[State | None, Event, Cell | None]]:
    found = []
    for part in CELLS.strip("\n").split("\n\n"):
        head, *rows = part.splitlines()
        for row in rows:
            name, *words = row.split()
            for event, word in zip(head.split(), words, strict=True):
                found.append((state(name), Event(event), cell(word)))
    return found


def state(name: str) -> State | None:
    return None if name == "unknown" else State(name)


def cell(word: str) -> Cell | None:
    if word == "-":
        return None
    name, _, what = word.partition(".")
    return Cell(state(name), Step(what or "ignore"))


def test_every_cell_is_filled_and_walked() -> None:
    every = set(itertools.product((None, *State), Event))
    assert {(state, event) for state in TABLE for event in TABLE[state]} == every
    assert {(state, event) for state, event, _ in cells()} == every


@pytest.mark.parametrize(("before", "event", "expected"), cells())
def test_cell(before: State | None, event: Event, expected: Cell | None) -> None:
    assert TABLE[before][event] == expected
    if expected is None:
        with pytest.raises(AssertionError, match="cannot get"):
            step(before, event)
    else:
        assert step(before, event) == expected
