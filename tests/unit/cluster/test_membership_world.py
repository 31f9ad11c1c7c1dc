"""Membership against whatever may be said to it: what holds after every event."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from drop.cluster.membership import (
    Action,
    Changed,
    Facts,
    Forget,
    Membership,
    MembershipError,
    Probe,
    RaiseIncarnation,
    State,
    Timing,
)

OWN = bytes(16)
NODES = st.sampled_from([bytes([number]) * 16 for number in range(8)])
NUMBERS = st.integers(1, 4)
SILENCES = st.dictionaries(NODES, st.integers(2000, 20_000), max_size=8)
TIMING = Timing(suspect_ms=2000, dead_ms=4000, keep_s=30.0, members_max=5)
GONE = (State.DEAD, State.LEFT)


class Events(RuleBasedStateMachine):
    """A herald that may say anything, and people who write down what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.it = Membership(TIMING, OWN)
        self.now = 0.0
        self.told: dict[bytes, State] = {}
        self.incarnations: dict[bytes, int] = {}
        self.was_late = False
        self.kept: set[bytes] = set()
        """Whom the herald keeps as peers: those it spoke of, until it is to forget them."""

    @rule(node=NODES, incarnation=NUMBERS, session=NUMBERS, name=st.sampled_from("ab"))
    def heard(self, node: bytes, incarnation: int, session: int, name: str) -> None:
        facts = Facts(node, incarnation, session, name, "", "1", 0, (), "")
        self.kept.add(node)
        before = self.it.members.get(node)
        self.take(self.it.heard(facts, self.now))
        after = self.it.members.get(node)
        if node == OWN:
            assert after is None
        elif before and before.state is not State.DEAD and incarnation < before.incarnation:
            assert after == before
        elif after and after.state is not State.LEFT:
            assert after.state in (State.ALIVE, State.SUSPECT)

    @rule(node=NODES, incarnation=NUMBERS)
    def left(self, node: bytes, incarnation: int) -> None:
        before = self.it.members.get(node)
        self.take(self.it.left(node, incarnation, self.now))
        if before and incarnation >= before.incarnation:
            assert self.it.members[node].state is State.LEFT

    @rule(
        silent=SILENCES,
        deaf=st.booleans(),
        seconds=st.sampled_from([0.25, 0.25, 0.25, 0.5, 1.3, 60.0]),
    )
    def tick(self, silent: dict[bytes, int], deaf: bool, seconds: float) -> None:
        self.now += seconds
        silent = {node: ms for node, ms in silent.items() if node in self.kept}
        dead_ms = TIMING.dead_ms * (4 if deaf else 1)
        slept = seconds > 1.25 and not self.was_late
        self.was_late = seconds > 1.25
        actions = self.it.tick(self.now, silent, deaf)
        for each in actions:
            if isinstance(each, Changed) and each.after is State.DEAD:
                node = each.member.facts.node_id
                assert each.before is State.SUSPECT
                assert silent[node] >= dead_ms
                assert not slept
            assert not isinstance(each, RaiseIncarnation) or each.above > 0
        self.take(actions)

    @rule(node=NODES)
    def forget(self, node: bytes) -> None:
        before = self.it.members.get(node)
        try:
            self.take(self.it.forget(node, self.now))
        except MembershipError:
            assert before is None or before.state not in GONE
        else:
            assert before is not None
            assert before.state in GONE

    @rule(own=st.tuples(NUMBERS, NUMBERS), other=st.tuples(NUMBERS, NUMBERS))
    def conflict(self, own: tuple[int, int], other: tuple[int, int]) -> None:
        """Seen from both sides, at least one takes another id, and not both but for equals."""
        mine = Membership(TIMING, OWN).conflict(*own, *other)
        theirs = Membership(TIMING, OWN).conflict(*other, *own)
        assert (mine == []) + (theirs == []) == (own != other)

    def take(self, actions: list[Action]) -> None:
        for each in actions:
            match each:
                case Changed(member, before, after, why):
                    self.change(member.facts.node_id, member.incarnation, before, after)
                    assert why
                case Forget(node):
                    self.kept.discard(node)
                case Probe(node):
                    assert self.it.members[node].state is State.SUSPECT

    def change(
        self, node: bytes, incarnation: int, before: State | None, after: State | None
    ) -> None:
        assert self.told.get(node) == before
        assert incarnation >= self.incarnations.get(node, 0) or before is State.DEAD
        if after is None:
            assert before in GONE
            del self.told[node], self.incarnations[node]
        else:
            self.told[node], self.incarnations[node] = after, incarnation

    @invariant()
    def nobody_comes_goes_or_changes_without_a_word(self) -> None:
        assert self.told == {node: member.state for node, member in self.it.members.items()}

    @invariant()
    def there_is_a_limit(self) -> None:
        assert len(self.it.members) <= TIMING.members_max
        assert OWN not in self.it.members

    @invariant()
    def the_gone_are_kept_for_their_time_at_most(self) -> None:
        if self.it._ticked == self.now:
            gone = [each for each in self.it.members.values() if each.state in GONE]
            assert all(self.now - each.since < TIMING.keep_s for each in gone)

    @invariant()
    def what_is_kept_beside_agrees(self) -> None:
        states = self.told.items()
        assert set(self.it._asked) == {node for node, state in states if state is State.SUSPECT}
        assert set(self.it._gone) == {node for node, state in states if state in GONE}
        since = [self.it.members[node].since for node in self.it._gone]
        assert since == sorted(since)


TestEvents = Events.TestCase
TestEvents.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
