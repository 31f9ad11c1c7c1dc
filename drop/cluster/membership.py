"""Who is there: what is heard and how long nobody was heard, in; what has changed, out. Pure.

`member_table.py` decides what an event means for one node. Times are seconds of a clock that only
goes forward; the time of day never matters. Silence is the herald's figure, with two doubts about
ourselves: a node that slept (a stopped process, a suspended machine) heard nobody, so it is no
proof that nobody spoke; and one whose kernel dropped packets waits four times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drop.cluster.member import (
    Action,
    Changed,
    Facts,
    Forget,
    Member,
    MembershipError,
    NewIdentity,
    Probe,
    RaiseIncarnation,
    State,
    Timing,
)
from drop.cluster.member_table import Event, Step, step

__all__ = [
    "Action",
    "Changed",
    "Facts",
    "Forget",
    "Member",
    "Membership",
    "MembershipError",
    "NewIdentity",
    "Probe",
    "RaiseIncarnation",
    "State",
    "Timing",
    "facts_of",
]

LATE_SECONDS = 1.0
"""A tick that is this late means that we slept: four ticks are missing."""
TICK_SECONDS = 0.25
DEAF_FACTOR = 4
"""How much longer one has to be silent to be dead, while our kernel drops packets."""
RAISE_SECONDS = 1.0
"""Of two nodes with one id, how long the one that keeps it waits before it raises its incarnation:
the other one has to hear of it first. If both moved at once, they would overtake each other."""

_SHOWN = ("name", "namespace", "version", "port", "addresses")


class Membership:
    def __init__(self, timing: Timing, own_id: bytes) -> None:
        self.timing = timing
        self.own_id = own_id
        """To be set when an action asked for another one."""
        self.members: dict[bytes, Member] = {}
        self.refused = 0
        """New nodes for which there was no room."""
        self._asked: dict[bytes, float] = {}  # the suspected, and when each was asked last
        self._gone: dict[bytes, None] = {}  # dead or left, the longest first
        self._ticked: float | None = None
        self._was_late = False
        self._awake_since = float("-inf")
        self._raise: tuple[float, int] | None = None  # when, and above what
        self._now = 0.0
        self._actions: list[Action] = []

    # --- events ---

    def heard(self, facts: Facts, now: float) -> list[Action]:
        """A verified peer that is new, or says something new."""
        self._begin(now)
        if facts.node_id != self.own_id:
            self._step(facts.node_id, self._kind(facts), facts=facts)
        return self._actions

    def left(self, node_id: bytes, incarnation: int, now: float) -> list[Action]:
        """A verified peer said goodbye."""
        self._begin(now)
        known = self.members.get(node_id)
        older = known is not None and incarnation < known.incarnation
        event = Event.LEAVE_OLDER if older else Event.LEAVE
        self._step(node_id, event, incarnation=incarnation)
        return self._actions

    def tick(self, now: float, silent: Mapping[bytes, int], deaf: bool) -> list[Action]:
        """To be called every quarter of a second. `silent`: milliseconds by id, of the peers that
        were not heard for `suspect_ms` or longer; `deaf`: our kernel dropped packets."""
        self._begin(now)
        self._notice_sleep(now)
        awake_ms = (now - self._awake_since) * 1000
        dead_ms = self.timing.dead_ms * (DEAF_FACTOR if deaf else 1)
        for node_id in [node_id for node_id in self._asked if node_id not in silent]:
            self._step(node_id, Event.AUDIBLE)
        for node_id, ms in silent.items():
            counted = min(ms, awake_ms)
            if counted >= dead_ms:
                self._step(node_id, Event.GONE, silent_ms=ms)
            elif counted >= self.timing.suspect_ms or node_id in self._asked:
                self._step(node_id, Event.SILENT, silent_ms=ms)
        self._expire()
        if self._raise is not None and now >= self._raise[0]:
            self._actions.append(RaiseIncarnation(self._raise[1]))
            self._raise = None
        return self._actions

    def forget(self, node_id: bytes, now: float) -> list[Action]:
        """As a person wants it. Raises MembershipError when it is unknown, or not known to be
        gone: it would be back with its next beacon."""
        self._begin(now)
        self._step(node_id, Event.FORGET)
        return self._actions

    def conflict(
        self, own_incarnation: int, own_session: int, other_incarnation: int, other_session: int
    ) -> list[Action]:
        """Another node has our id, and has proved that it lives. The higher of the two takes
        another id, at once; the lower keeps it, and raises its incarnation with a tick soon: others
        have heard of the higher one."""
        if (own_incarnation, own_session) >= (other_incarnation, other_session):
            self._raise = None
            return [NewIdentity()]
        due, above = self._raise or (self._now + RAISE_SECONDS, 0)
        self._raise = due, max(above, other_incarnation)
        return []

    # --- what they are ---

    def _begin(self, now: float) -> None:
        self._now = now
        self._actions = []

    def _kind(self, facts: Facts) -> Event:
        known = self.members.get(facts.node_id)
        if known is None:
            return Event.HEARD
        if facts.incarnation != known.incarnation:
            return Event.NEWER if facts.incarnation > known.incarnation else Event.OLDER
        # Two processes cannot have one incarnation, but two clones can, until they find each other:
        # the higher session is followed, so that they do not alternate.
        return Event.TWIN if facts.session < known.facts.session else Event.HEARD

    def _notice_sleep(self, now: float) -> None:
        """A second late tick in a row is no sleep, it is a slow machine; there silence counts, or
        nobody would ever be found dead."""
        late = self._ticked is not None and now - self._ticked > TICK_SECONDS + LATE_SECONDS
        if late and not self._was_late:
            self._awake_since = now
        self._was_late, self._ticked = late, now

    # --- one step of one node ---

    def _step(
        self,
        node_id: bytes,
        event: Event,
        *,
        facts: Facts | None = None,
        incarnation: int = 0,
        silent_ms: float = 0.0,
    ) -> None:
        member = self.members.get(node_id)
        cell = step(member.state if member else None, event)
        match cell.step:
            case Step.IGNORE:
                return
            case Step.REFUSE:
                raise MembershipError(_refusal(member))
            case Step.ADMIT:
                assert facts is not None
                self._admit(facts)
                return
        assert member is not None
        match cell.step:
            case Step.UPDATE:
                assert facts is not None
                self._update(member, facts)
            case Step.RESTART:
                assert facts is not None
                why = f"restarted (incarnation {facts.incarnation}, {member.incarnation} before)"
                self._move(member, State.ALIVE, why, facts=facts)
            case Step.RETURN:
                self._return(member, facts)
            case Step.SUSPECT | Step.BURY:
                assert cell.state is not None
                heard_at = self._now - silent_ms / 1000
                why = f"not heard for {silent_ms / 1000:.1f} s"
                self._move(member, cell.state, why, heard_at=heard_at)
                if cell.state is State.SUSPECT:
                    self._probe(node_id)
            case Step.PROBE:
                if self._now - self._asked[node_id] >= 0.9 * self.timing.probe_ms / 1000:
                    self._probe(node_id)
            case Step.PART:
                self._move(member, State.LEFT, "said goodbye", incarnation=incarnation)
            case Step.DROP:
                how = "as asked" if event is Event.FORGET else "after it was kept for its time"
                self._drop(member, f"forgotten {how}")

    def _admit(self, facts: Facts) -> None:
        if len(self.members) >= self.timing.members_max:
            if not self._gone:
                self.refused += 1
                # Not kept by the herald either: so it is heard of again when there may be room.
                self._actions.append(Forget(facts.node_id))
                return
            self._drop(self.members[next(iter(self._gone))], "forgotten to make room for a new one")
        member = Member(facts, State.ALIVE, self._now, "new", facts.incarnation)
        self.members[facts.node_id] = member
        self._actions.append(Changed(member, None, State.ALIVE, "new"))

    def _update(self, member: Member, facts: Facts) -> None:
        why = _difference(member.facts, facts)
        updated = replace(member, facts=facts)
        self.members[facts.node_id] = updated
        if why:
            self._actions.append(Changed(updated, member.state, member.state, why))

    def _return(self, member: Member, facts: Facts | None) -> None:
        assert member.heard_at is not None
        why = f"heard again after {self._now - member.heard_at:.1f} s"
        if facts and facts.incarnation < member.incarnation:
            why += f" (incarnation {facts.incarnation}, {member.incarnation} before)"
        self._move(member, State.ALIVE, why, facts=facts, flaps=member.flaps + 1)

    def _move(
        self,
        member: Member,
        state: State,
        why: str,
        *,
        facts: Facts | None = None,
        incarnation: int = 0,
        **fields: Any,
    ) -> None:
        """Into another state, with all that hangs on it."""
        node_id = member.facts.node_id
        moved = Member(
            facts or member.facts,
            state,
            self._now,
            why,
            incarnation or (facts or member).incarnation,
            fields.get("flaps", member.flaps),
            fields.get("heard_at"),
        )
        self.members[node_id] = moved
        self._asked.pop(node_id, None)
        self._gone.pop(node_id, None)
        self._actions.append(Changed(moved, member.state, state, why))
        if state in (State.DEAD, State.LEFT):
            self._gone[node_id] = None
            self._actions.append(Forget(node_id))

    def _probe(self, node_id: bytes) -> None:
        self._asked[node_id] = self._now
        self._actions.append(Probe(node_id))

    # --- those that are gone ---

    def _expire(self) -> None:
        """They are in the order in which they went, so the first that may stay ends it."""
        while self._gone:
            node_id = next(iter(self._gone))
            if self._now - self.members[node_id].since < self.timing.keep_s:
                return
            self._step(node_id, Event.EXPIRE)

    def _drop(self, member: Member, why: str) -> None:
        node_id = member.facts.node_id
        del self.members[node_id], self._gone[node_id]
        self._actions += (Changed(member, member.state, None, why), Forget(node_id))


def facts_of(peer: Any) -> Facts:
    """Of what the herald says of a peer."""
    return Facts(**{name: getattr(peer, name) for name in Facts.__dataclass_fields__})


def _difference(before: Facts, after: Facts) -> str:
    """What a node says otherwise than before; empty: nothing that people want to know."""
    changes = [
        f"{name} {_show(getattr(before, name))} -> {_show(getattr(after, name))}"
        for name in _SHOWN
        if getattr(before, name) != getattr(after, name)
    ]
    if before.session != after.session:
        changes.append("another process under the same incarnation")
    return ", ".join(changes)


def _show(value: object) -> str:
    return (", ".join(value) if isinstance(value, tuple) else str(value)) or "none"


def _refusal(member: Member | None) -> str:
    if member is None:
        return "there is no such node"
    return (
        f"{member.facts.name} is {member.state}: only nodes that are dead or have left can be "
        "forgotten (stop it, or wait until it is found dead)"
    )
