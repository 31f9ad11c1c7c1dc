"""Who is there: carries what the herald hears to the membership, and its decisions back.

    Herald (native)  --Heard, Left, Conflict-->  Membership (pure)  --Probe, Forget-->  Herald
                                                      |
                                                      +--Changed-->  history, the node's log

It decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from drop.clock import Clock, Timer, time_text
from drop.cluster.history import History
from drop.cluster.identity import Identity, IdentityFile
from drop.cluster.membership import (
    Action,
    Changed,
    Forget,
    Membership,
    NewIdentity,
    Probe,
    RaiseIncarnation,
    State,
    facts_of,
)
from drop.errors import ConfigurationError

TICK_SECONDS = 0.25
"""How often silence is looked at, which is how late a node may be found dead."""

CONFLICT_SECONDS = 60.0
"""Between two warnings of a clone, which is met again and again until one of the two gives way."""

Document = dict[str, Any]
Report = Callable[..., None]

_LEVELS = {State.ALIVE: "info", State.SUSPECT: "info", State.DEAD: "warning", State.LEFT: "info"}


class Herald(Protocol):
    """What is asked of the native one."""

    @property
    def session(self) -> int: ...
    def take(self) -> list[Any]: ...
    def probe(self, node_id: bytes) -> bool: ...
    def forget(self, node_id: bytes) -> bool: ...
    def silent(self, ms: int) -> list[tuple[bytes, int]]: ...
    def statistics(self) -> dict[str, int]: ...
    def vouch(self) -> None: ...
    def set_identity(self, *, node_id: bytes, incarnation: int) -> None: ...


class Roster:
    def __init__(
        self,
        membership: Membership,
        herald: Herald,
        identity: IdentityFile,
        *,
        clock: Clock,
        report: Report,
    ) -> None:
        self.membership = membership
        self.history = History()
        self._herald = herald
        self._identity = identity
        self._clock = clock
        self._report = report
        self._timer: Timer | None = None
        self._conflict_said = float("-inf")

    # --- what happens ---

    def start(self) -> None:
        """From here on silence is looked at, and the native thread is vouched for."""
        self._tick()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_heard(self) -> None:
        """The herald has something to tell."""
        now = self._clock.now()
        for happening in self._herald.take():
            self._carry_out(self._decide(happening, now))

    def forget(self, node_id: bytes) -> None:
        """Raises MembershipError when it lives."""
        self._carry_out(self.membership.forget(node_id, self._clock.now()))

    def _tick(self) -> None:
        self._timer = self._clock.call_later(TICK_SECONDS, self._tick)
        herald, membership = self._herald, self.membership
        herald.vouch()
        silent = dict(herald.silent(membership.timing.suspect_ms))
        deaf = bool(herald.statistics()["deaf"])
        self._carry_out(membership.tick(self._clock.now(), silent, deaf))

    def _decide(self, happening: Any, now: float) -> list[Action]:
        match type(happening).__name__:
            case "Heard":
                return self.membership.heard(facts_of(happening.peer), now)
            case "Left":
                return self.membership.left(happening.node_id, happening.incarnation, now)
            case _:
                return self._conflict(happening)

    def _conflict(self, happening: Any) -> list[Action]:
        own, now = self._identity.identity, self._clock.now()
        if now - self._conflict_said >= CONFLICT_SECONDS:
            self._conflict_said = now
            self._report(
                "warning",
                "node_id_in_use",
                node=own.node_id.hex(),
                source=happening.source,
                text="another machine runs under this node's id: was one cloned from the other?",
            )
        return self.membership.conflict(
            own.incarnation, self._herald.session, happening.incarnation, happening.session
        )

    # --- what follows ---

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Changed():
                    self._changed(action)
                case Probe():
                    self._herald.probe(action.node_id)
                case Forget():
                    self._herald.forget(action.node_id)
                case NewIdentity():
                    self._become(self._identity.renew)
                case RaiseIncarnation(above):
                    self._become(partial(self._identity.raise_above, above))

    def _become(self, change: Callable[[], Identity]) -> None:
        try:
            change()
        except ConfigurationError as error:
            text = f"{error}; the id is kept until the node ends"
            self._report("error", "node_id", text=text)
        identity = self._identity.identity
        self._herald.set_identity(node_id=identity.node_id, incarnation=identity.incarnation)
        self.membership.own_id = identity.node_id
        self._report(
            "warning", "node_id", node=identity.node_id.hex(), incarnation=identity.incarnation
        )

    def _changed(self, change: Changed) -> None:
        facts = change.member.facts
        self.history.add(
            {
                "time": time_text(self._clock.wall()),
                "id": facts.node_id.hex(),
                "name": facts.name,
                "before": change.before,
                "state": change.after,
                "why": change.why,
                "addresses": list(facts.addresses),
                "namespace": facts.namespace or None,
            }
        )
        self._report(
            _LEVELS[change.after] if change.after else "info",
            f"node_{change.after or 'forgotten'}",
            node=facts.name,
            id=facts.node_id.hex(),
            address=facts.source,
            text=change.why,
        )
