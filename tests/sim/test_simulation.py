"""Whole nodes in a world that goes wrong: a few seeds here, `make sim` runs many."""

from __future__ import annotations

import pytest

from drop.cluster.member import State
from drop.cluster.membership import Membership
from drop.testing.simulation import Simulation, SimulationFailed, run


# 3: three clones, and a quarrel about an id that did not end. 7: a clone that kept the id under an
# incarnation that others had seen a higher one of. 1: an attacker who plays packets that were lost.
@pytest.mark.parametrize(
    ("seed", "nodes"), [(1, 13), (3, 20), (7, 25), (22, 13), (112, 35), (8, 5)]
)
def test_everybody_knows_who_is_there(seed: int, nodes: int) -> None:
    simulation = run(seed, nodes, rounds=4)
    simulation.check()
    assert len(simulation.story) > 4


def test_sixty_nodes() -> None:
    simulation = run(60, 60, rounds=1)
    up = [node for node in simulation.nodes if node.is_up]
    assert len(up) > 50
    assert {len(node.view) >= len(up) - 1 for node in up} == {True}


@pytest.mark.big
def test_a_thousand_nodes() -> None:
    simulation = Simulation(1000, 1000)
    simulation.begin_in_the_middle()
    simulation.settle(1.0)
    views = [node.view for node in simulation.nodes]
    assert {len(view) for view in views} == {999}
    assert {state for view in views for state in view.values()} == {State.ALIVE}


def test_a_seed_is_a_run() -> None:
    first, again, other = run(5, 9, 3), run(5, 9, 3), run(6, 9, 3)
    assert first.story == again.story
    assert first.network.sent == again.network.sent
    assert first.story != other.story


def test_a_failure_tells_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A membership that never looks at silence is found out."""
    monkeypatch.setattr(Membership, "tick", lambda *_: [])
    with pytest.raises(SimulationFailed) as failed:
        run(1, 6, rounds=20)
    assert "which is not there, as alive" in str(failed.value)
    assert "again by: python -m drop.testing.simulation --seed 1 --nodes 6" in str(failed.value)
