"""The roster between a herald and the membership: what is told, asked and forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drop.cluster.identity import IdentityFile
from drop.cluster.membership import Facts, Membership, State, Timing
from drop.cluster.roster import TICK_SECONDS, Roster
from drop.testing.clock import FakeClock

OTHER = bytes([2]) * 16


class Heard:
    def __init__(self, peer: Facts) -> None:
        self.peer = peer


class Left:
    def __init__(self, node_id: bytes, incarnation: int) -> None:
        self.node_id, self.incarnation = node_id, incarnation


class Conflict:
    def __init__(self, incarnation: int, session: int, source: str) -> None:
        self.incarnation, self.session, self.source = incarnation, session, source


class ScriptedHerald:
    """One whose happenings and silences are given, and that keeps what it was asked."""

    session = 50

    def __init__(self) -> None:
        self.happenings: list[Any] = []
        self.silences: dict[bytes, int] = {}
        self.asked: list[tuple[str, Any]] = []
        self.vouched = 0
        self.deaf = 0

    def take(self) -> list[Any]:
        taken, self.happenings = self.happenings, []
        return taken

    def probe(self, node_id: bytes) -> bool:
        self.asked.append(("probe", node_id))
        return True

    def forget(self, node_id: bytes) -> bool:
        self.asked.append(("forget", node_id))
        return True

    def silent(self, ms: int) -> list[tuple[bytes, int]]:
        return [(node_id, found) for node_id, found in self.silences.items() if found >= ms]

    def statistics(self) -> dict[str, int]:
        return {"deaf": self.deaf}

    def vouch(self) -> None:
        self.vouched += 1

    def set_identity(self, *, node_id: bytes, incarnation: int) -> None:
        self.asked.append(("identity", (node_id, incarnation)))


def facts(incarnation: int = 7) -> Facts:
    return Facts(OTHER, incarnation, 9, "n1", "", "0.1.0", 8085, ("10.0.0.2",), "10.0.0.2")


class Scene:
    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.herald = ScriptedHerald()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.identity = IdentityFile.load_or_make(str(directory), 1000, self.report)
        self.roster = Roster(
            Membership(Timing(2000, 4000), self.identity.identity.node_id),
            self.herald,
            self.identity,
            clock=self.clock,
            report=self.report,
        )

    def report(self, level: str, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def happen(self, *happenings: Any) -> None:
        self.herald.happenings += happenings
        self.roster.on_heard()

    @property
    def state(self) -> State:
        return self.roster.membership.members[OTHER].state


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_who_is_heard_is_told(scene: Scene) -> None:
    scene.happen(Heard(facts()))
    event, fields = scene.told[-1]
    assert (event, fields["node"], fields["id"]) == ("node_alive", "n1", OTHER.hex())
    change = scene.roster.history.since(0).changes[0]
    assert (change["name"], change["before"], change["state"]) == ("n1", None, "alive")
    assert change["addresses"] == ["10.0.0.2"]


def test_who_is_silent_is_asked_and_missed(scene: Scene) -> None:
    scene.happen(Heard(facts()))
    scene.roster.start()
    scene.clock.advance(10 * TICK_SECONDS)
    scene.herald.silences[OTHER] = 2100
    scene.clock.advance(TICK_SECONDS)
    assert scene.state is State.SUSPECT
    assert ("probe", OTHER) in scene.herald.asked
    scene.herald.silences[OTHER] = 4100
    scene.clock.advance(20 * TICK_SECONDS)
    assert scene.state is State.DEAD
    scene.herald.silences.clear()
    scene.happen(Heard(facts()))
    assert scene.state is State.ALIVE
    states = [change["state"] for change in scene.roster.history.since(0).changes]
    assert states == ["alive", "suspect", "dead", "alive"]


def test_a_deaf_node_waits_longer(scene: Scene) -> None:
    scene.happen(Heard(facts()))
    scene.roster.start()
    scene.herald.deaf = 1
    scene.herald.silences[OTHER] = 4100
    scene.clock.advance(24 * TICK_SECONDS)
    assert scene.state is State.SUSPECT


def test_it_vouches_as_long_as_it_ticks(scene: Scene) -> None:
    scene.roster.start()
    scene.clock.advance(4 * TICK_SECONDS)
    assert scene.herald.vouched == 5
    scene.roster.stop()
    scene.clock.advance(4 * TICK_SECONDS)
    assert scene.herald.vouched == 5


def test_goodbye_and_forgetting(scene: Scene) -> None:
    scene.happen(Heard(facts()), Left(OTHER, 7))
    assert scene.state is State.LEFT
    scene.roster.forget(OTHER)
    assert ("forget", OTHER) in scene.herald.asked
    assert scene.told[-1][0] == "node_forgotten"


@pytest.mark.parametrize(
    ("theirs", "renewed"), [(1, True), (10**15, False)], ids=["we are younger", "we are older"]
)
def test_another_node_with_our_id(
    scene: Scene, theirs: int, renewed: bool, get: Callable[[Scene], Any]
) -> None:
    before = scene.identity.identity
    scene.happen(Conflict(theirs, 1, "10.0.0.9"))
    scene.roster.start()
    scene.clock.advance(8 * TICK_SECONDS)  # the older one waits for the other
    node_id, incarnation = get(scene)
    assert (node_id != before.node_id) is renewed
    assert incarnation > (before.incarnation if renewed else theirs)
    assert scene.roster.membership.own_id == node_id == scene.identity.identity.node_id
    assert [event for event, _ in scene.told] == ["node_id_in_use", "node_id"]


@pytest.fixture
def get() -> Callable[[Scene], Any]:
    """The identity that the herald was given."""

    def identity(scene: Scene) -> Any:
        return next(what for kind, what in scene.herald.asked if kind == "identity")

    return identity


def test_a_new_id_that_cannot_be_kept_is_taken_all_the_same(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "node-id").unlink()
    (tmp_path / "node-id").symlink_to("elsewhere")  # which is never followed
    own = scene.identity.identity
    scene.happen(Conflict(own.incarnation - 1, 1, "10.0.0.3"), Heard(facts()))
    asked, (node_id, _) = next(each for each in scene.herald.asked if each[0] == "identity")
    assert asked == "identity"
    assert node_id == scene.identity.identity.node_id != own.node_id
    assert scene.roster.membership.own_id == node_id
    assert any("is a symbolic link" in fields.get("text", "") for _, fields in scene.told)
    assert scene.state is State.ALIVE  # what came behind it is not lost


def test_a_mistake_in_one_look_does_not_end_the_looking(scene: Scene) -> None:
    scene.herald.silent = lambda ms: []  # type: ignore[method-assign]
    scene.roster.start()
    statistics = scene.herald.statistics
    scene.herald.statistics = dict  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyError):
        scene.clock.advance(TICK_SECONDS)
    scene.herald.statistics = statistics  # type: ignore[method-assign]
    before = scene.herald.vouched
    scene.clock.advance(TICK_SECONDS)
    assert scene.herald.vouched == before + 1
