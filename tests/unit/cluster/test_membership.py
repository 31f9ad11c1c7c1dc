"""Who is there: one node's view, told by what it says to people and asks of the herald."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drop.cluster.membership import (
    Action,
    Changed,
    Facts,
    Forget,
    Membership,
    MembershipError,
    NewIdentity,
    Probe,
    RaiseIncarnation,
    State,
    Timing,
    facts_of,
)

OWN, A, B, C = (bytes([number]) * 16 for number in range(1, 5))
TIMING = Timing(suspect_ms=2000, dead_ms=4000, keep_s=100.0, members_max=3)


def facts(node_id: bytes = A, incarnation: int = 7, session: int = 50, **fields: Any) -> Facts:
    plain: dict[str, Any] = {
        "name": f"node-{node_id[0]}",
        "namespace": "",
        "version": "1.0",
        "port": 8085,
        "addresses": ("192.0.2.1",),
        "source": "192.0.2.1",
    }
    return Facts(node_id, incarnation, session, **{**plain, **fields})


def with_nodes(*nodes: bytes, **timing: Any) -> Membership:
    it = Membership(replace(TIMING, **timing), OWN)
    for node in nodes:
        it.heard(facts(node), 0.0)
    it.tick(0.0, {}, False)
    return it


def told(actions: list[Action]) -> list[tuple[str | None, str | None, str]]:
    return [(each.before, each.after, each.why) for each in actions if isinstance(each, Changed)]


def others(actions: list[Action]) -> list[Action]:
    return [each for each in actions if not isinstance(each, Changed)]


def silence(it: Membership, node: bytes, start: float, end: float, **keys: Any) -> list[Action]:
    """Ticks from `start` to `end`, in which this node was last heard at `heard`."""
    actions = []
    now = start
    while now <= end:
        ms = int((now - keys.get("heard", 0.0)) * 1000)
        silent = {node: ms} if ms >= TIMING.suspect_ms else {}
        actions += it.tick(now, silent, keys.get("deaf", False))
        now += 0.25
    return actions


def test_a_new_node_is_told_once() -> None:
    it = Membership(TIMING, OWN)
    assert told(it.heard(facts(), 1.0)) == [(None, "alive", "new")]
    assert it.heard(facts(), 2.0) == []
    member = it.members[A]
    assert (member.state, member.since, member.why, member.incarnation) == ("alive", 1.0, "new", 7)


def test_we_are_no_member_of_our_own() -> None:
    it = Membership(TIMING, OWN)
    assert it.heard(facts(OWN), 1.0) == []
    assert it.left(OWN, 7, 1.0) == []
    assert it.members == {}


def test_silence_makes_suspect_then_dead_and_the_herald_lets_go() -> None:
    it = with_nodes(A)
    assert silence(it, A, 0.25, 1.75) == []
    actions = silence(it, A, 2.0, 4.0)
    assert told(actions) == [
        ("alive", "suspect", "not heard for 2.0 s"),
        ("suspect", "dead", "not heard for 4.0 s"),
    ]
    assert others(actions) == [Probe(A)] * 8 + [Forget(A)]
    assert it.tick(5.0, {}, False) == []  # the herald does not know it any more


def test_one_that_is_heard_again_while_suspected() -> None:
    it = with_nodes(A)
    silence(it, A, 0.25, 3.0)
    assert told(it.tick(3.25, {}, False)) == [("suspect", "alive", "heard again after 3.2 s")]
    assert (it.members[A].flaps, it.members[A].heard_at) == (1, None)
    assert silence(it, A, 3.5, 3.5) != []  # and may be suspected anew


def test_one_that_was_dead_comes_back_with_what_it_is_now() -> None:
    it = with_nodes(A)
    silence(it, A, 0.25, 4.0)
    actions = it.heard(facts(namespace="shop"), 12.3)
    assert told(actions) == [("dead", "alive", "heard again after 12.3 s")]
    assert it.members[A].facts.namespace == "shop"
    silence(it, A, 4.25, 16.5, heard=12.3)
    assert it.members[A].state is State.DEAD
    assert told(it.heard(facts(session=1), 20.0))[0][1] == "alive"  # its twin


def test_a_long_silence_found_at_once_still_asks_first() -> None:
    it = with_nodes(A)
    silence(it, A, 0.25, 8.0, heard=7.0)
    actions = it.tick(8.25, {A: 60_000}, False)  # the herald was silent about it till then
    assert told(actions) == [("alive", "suspect", "not heard for 60.0 s")]
    assert others(actions) == [Probe(A)]


def test_questions_keep_their_distance() -> None:
    it = with_nodes(A, probe_ms=1000)
    assert others(silence(it, A, 0.25, 3.75)) == [Probe(A)] * 2


def test_a_node_that_restarts() -> None:
    it = with_nodes(A)
    why = "restarted (incarnation 9, 7 before)"
    assert told(it.heard(facts(incarnation=9, session=1), 1.0)) == [("alive", "alive", why)]
    assert it.heard(facts(incarnation=8, session=99), 2.0) == []
    assert it.members[A].incarnation == 9
    silence(it, A, 0.25, 6.0)
    assert told(it.heard(facts(incarnation=10), 8.0))[0][:2] == ("dead", "alive")


def test_after_a_death_an_earlier_incarnation_that_proves_itself_is_heard() -> None:
    it = with_nodes(A)
    silence(it, A, 0.25, 4.0)
    why = "heard again after 6.0 s (incarnation 6, 7 before)"
    assert told(it.heard(facts(incarnation=6), 6.0)) == [("dead", "alive", why)]
    assert it.members[A].incarnation == 6


def test_a_node_that_says_something_new_of_itself() -> None:
    it = with_nodes(A)
    changed = facts(name="db", namespace="shop", addresses=("192.0.2.9", "2001:db8::9"), load=70)
    why = "name node-2 -> db, namespace none -> shop, addresses 192.0.2.1 -> 192.0.2.9, 2001:db8::9"
    assert told(it.heard(changed, 1.0)) == [("alive", "alive", why)]
    assert it.heard(replace(changed, load=90, source="192.0.2.9"), 2.0) == []
    assert (it.members[A].facts.load, it.members[A].since) == (90, 0.0)


def test_two_nodes_of_one_id_and_incarnation_do_not_alternate() -> None:
    it = with_nodes(A)
    assert told(it.heard(facts(session=60), 1.0)) == [
        ("alive", "alive", "another process under the same incarnation")
    ]
    assert it.heard(facts(session=50), 1.1) == []
    assert it.heard(facts(session=60), 1.2) == []


def test_a_goodbye() -> None:
    it = with_nodes(A)
    assert it.left(B, 1, 1.0) == []
    assert it.left(A, 6, 1.0) == []
    actions = it.left(A, 7, 1.0)
    assert told(actions) == [("alive", "left", "said goodbye")]
    assert others(actions) == [Forget(A)]
    assert it.left(A, 7, 1.0) == []
    assert it.heard(facts(), 1.1) == []  # what it sent before
    assert silence(it, A, 2.0, 5.0) == []
    assert told(it.heard(facts(incarnation=8), 6.0))[0][:2] == ("left", "alive")
    it.left(A, 11, 7.0)  # of a start that was not heard of otherwise
    assert it.heard(facts(incarnation=11), 7.1) == []


def test_a_goodbye_of_a_suspected_and_of_a_dead_one() -> None:
    it = with_nodes(A, B)
    it.tick(0.25, {A: 2000}, False)
    assert it.members[A].state is State.SUSPECT
    assert told(it.left(A, 7, 0.25)) == [("suspect", "left", "said goodbye")]
    silence(it, B, 0.5, 4.0)
    assert told(it.left(B, 7, 5.0)) == [("dead", "left", "said goodbye")]


# --- doubts about ourselves ---


def test_after_a_sleep_silence_counts_from_then() -> None:
    it = with_nodes(A, B)
    silence(it, A, 0.25, 2.0)
    assert it.members[A].state is State.SUSPECT
    woken = 62.0
    actions = it.tick(woken, {A: 62_000, B: 60_000}, False)
    assert others(actions) == [Probe(A)]  # what is suspected stays so, and is asked
    assert told(actions) == []
    for quarter in range(1, 16):
        now = woken + quarter / 4
        actions += it.tick(now, {A: int(now * 1000), B: int(now * 1000)}, False)
        state = it.members[B].state
        assert state is (State.ALIVE if quarter < 8 else State.SUSPECT), quarter
    assert it.members[A].state is State.SUSPECT
    it.tick(woken + 4, {A: 66_000, B: 66_000}, False)
    assert {it.members[A].state, it.members[B].state} == {State.DEAD}


def test_a_machine_that_is_always_slow_still_finds_the_dead() -> None:
    it = with_nodes(A)
    for second in range(2, 12, 2):
        it.tick(float(second), {A: second * 1000}, False)
    assert it.members[A].state is State.DEAD


def test_while_deaf_it_takes_four_times_as_long() -> None:
    it = with_nodes(A)
    assert told(silence(it, A, 0.25, 15.75, deaf=True)) == [
        ("alive", "suspect", "not heard for 2.0 s")
    ]
    assert told(silence(it, A, 16.0, 16.0, deaf=True))[0][1] == "dead"


# --- room ---


def test_the_gone_are_kept_for_their_time_and_then_dropped_aloud() -> None:
    it = with_nodes(A, B)
    silence(it, A, 0.25, 1.0)
    it.left(B, 7, 1.0)
    silence(it, A, 1.25, 4.0)
    assert it.tick(100.9, {}, False) == []
    actions = it.tick(101.0, {}, False)
    assert told(actions) == [("left", None, "forgotten after it was kept for its time")]
    assert others(actions) == [Forget(B)]
    assert told(it.tick(104.0, {}, False))[0][:2] == ("dead", None)
    assert it.members == {}


def test_a_new_node_takes_the_room_of_the_one_gone_for_longest() -> None:
    it = with_nodes(A, B, C)
    it.left(B, 7, 1.0)
    it.left(A, 7, 2.0)
    d = facts(b"d" * 16)
    assert told(it.heard(d, 3.0)) == [
        ("left", None, "forgotten to make room for a new one"),
        (None, "alive", "new"),
    ]
    assert list(it.members) == [A, C, d.node_id]


def test_without_room_a_new_node_is_heard_of_again_later() -> None:
    it = with_nodes(A, B, C)
    late = facts(b"d" * 16)
    assert it.heard(late, 1.0) == [Forget(late.node_id)]
    assert (it.refused, len(it.members)) == (1, 3)
    it.left(A, 7, 2.0)
    assert told(it.heard(late, 3.0))[-1] == (None, "alive", "new")


def test_forgetting_as_a_person_wants_it() -> None:
    it = with_nodes(A)
    with pytest.raises(MembershipError, match="node-2 is alive: .*stop it"):
        it.forget(A, 1.0)
    with pytest.raises(MembershipError, match="no such node"):
        it.forget(B, 1.0)
    silence(it, A, 0.25, 3.0)
    with pytest.raises(MembershipError, match="is suspect"):
        it.forget(A, 3.0)
    silence(it, A, 3.25, 4.0)
    actions = it.forget(A, 5.0)
    assert told(actions) == [("dead", None, "forgotten as asked")]
    assert others(actions) == [Forget(A)]
    assert told(it.heard(facts(), 6.0)) == [(None, "alive", "new")]


# --- our id ---


def test_of_two_with_one_id_the_higher_takes_another_at_once() -> None:
    it = with_nodes()
    assert it.conflict(7, 50, 6, 99) == [NewIdentity()]
    assert it.conflict(7, 50, 7, 49) == [NewIdentity()]
    assert it.conflict(7, 50, 7, 50) == [NewIdentity()]  # a copy of a running machine
    assert silence(it, A, 0.25, 1.75) == []


def test_the_lower_waits_for_the_other_and_is_then_above_it() -> None:
    it = with_nodes()
    assert it.conflict(7, 50, 7, 51) == []
    assert silence(it, A, 0.25, 0.75) == []
    assert it.conflict(7, 50, 9, 1) == []  # heard once more; that does not postpone it
    assert silence(it, A, 1.0, 1.75) == [RaiseIncarnation(9)]


def test_one_that_is_the_higher_meanwhile_takes_another_id_only() -> None:
    it = with_nodes()
    assert it.conflict(7, 50, 9, 1) == []
    assert it.conflict(7, 50, 6, 1) == [NewIdentity()]
    assert silence(it, A, 0.25, 1.75) == []


def test_facts_of_what_the_herald_says() -> None:
    class Peer:
        silent_ms = 10

        def __init__(self) -> None:
            for name in Facts.__dataclass_fields__:
                setattr(self, name, getattr(facts(key_id="0a0b0c0d"), name))

    assert facts_of(Peer()) == facts(key_id="0a0b0c0d")
