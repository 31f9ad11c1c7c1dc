"""A pool of kind exec: carries out what its supervision asks for, and tells it what happened.

No process passes here: the dataplane starts, feeds and reaps them. This says how, and reacts when
one cannot be started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from drop.clock import Timer
from drop.workers import events as ev
from drop.workers.exec_supervision import Asked, Configure, Event, ExecSupervision, Resume
from drop.workers.pool import Shared
from drop.workers.process import LaunchError

SPARE_LEAST = 1
"""Kept ready when the flow leaves it to the load: a call after a quiet hour finds one."""


@dataclass(frozen=True, slots=True)
class Processes:
    """How many: `at_most` have a message at a time; `spare` are kept ready (None: by load)."""

    at_most: int
    spare: int | None

    @property
    def spare_least(self) -> int:
        return SPARE_LEAST if self.spare is None else self.spare

    @property
    def spare_most(self) -> int:
        return self.at_most if self.spare is None else self.spare


Recipes = Callable[[], object]
"""Makes the recipe by which processes are started, as a capsule. Raises LaunchError."""

Explain = Callable[[int, str], str]
"""(errno, what failed) to a text with the command and what to do."""


class ExecPool:
    """`id` is the reactor's. `started`, `drained` and `stopped` are done when that is so."""

    def __init__(
        self,
        policy: ev.Policy,
        mailbox: dict[str, Any],
        processes: Processes,
        recipes: Recipes,
        explain: Explain,
        shared: Shared,
    ) -> None:
        """`mailbox`: the keywords of `Dataplane.pool_create`, which may raise ValueError."""
        self._shared = shared
        self._processes = processes
        self._recipes, self._explain = recipes, explain
        self.supervision = ExecSupervision(policy, shared.clock.random)
        self._timer: Timer | None = None
        self._configured = False
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.stopped: asyncio.Future[None] = loop.create_future()
        self.id = shared.dataplane.pool_create(policy.pool, **mailbox)
        shared.happenings.listen_exec(self.id, self)

    def start(self) -> None:
        self._tell(Event.START)
        _done(self.started)

    def stop(self, grace_seconds: float) -> None:
        self._carry_out(self.supervision.handle(Event.STOP, grace_seconds=grace_seconds))

    def kill(self) -> None:
        self._tell(Event.KILL)

    def remove(self) -> None:
        """Once it has stopped, and no subscription names it. Its processes are killed."""
        assert self.stopped.done()
        self._shared.dataplane.pool_remove(self.id)
        self._shared.happenings.unlisten(self.id)

    def update(
        self, policy: ev.Policy, processes: Processes, recipes: Recipes, explain: Explain
    ) -> None:
        """New processes are started in the new way; those that have a message finish it."""
        self.supervision.policy = policy
        self._processes, self._recipes, self._explain = processes, recipes, explain
        self._tell(Event.UPDATE)

    # --- what the dataplane reports ---

    def spawn_failed(self, number: int, what: str) -> None:
        self._failed(self._explain(number, what))

    def spawn_works(self) -> None:
        self._tell(Event.WORKS)

    def spares_off(self, reason: str) -> None:
        self._carry_out(self.supervision.spares_off(reason))

    def pool_drained(self) -> None:
        _done(self.drained)
        self._tell(Event.DRAINED)

    # --- what supervision asks for ---

    def _tell(self, event: Event) -> None:
        self._carry_out(self.supervision.handle(event))

    def _carry_out(self, actions: list[Asked]) -> None:
        for action in actions:
            self._do(action)

    def _do(self, action: Asked) -> None:
        dataplane = self._shared.dataplane
        match action:
            case Configure():
                self._configure()
            case Resume():
                self._resume()
            case ev.Refuse(text):
                dataplane.pool_refuse(self.id, text)
            case ev.SetTimer(_, seconds):
                self._set_timer(seconds)
            case ev.CancelTimer():
                if self._timer:
                    self._timer.cancel()
                self._timer = None
            case ev.DrainPool():
                dataplane.pool_drain(self.id)
            case ev.Report():
                self._report(action)
            case ev.PoolStopped():
                for future in (self.started, self.drained, self.stopped):
                    _done(future)

    def _configure(self) -> bool:
        processes = self._processes
        try:
            recipe = self._recipes()
        except LaunchError as error:
            self._configured = False  # or there is an older recipe, which is not to be tried again
            # Not from here: this may be the answer to an event that is being handled.
            asyncio.get_running_loop().call_soon(self._failed, str(error))
            return False
        self._shared.dataplane.exec_configure(
            self.id,
            recipe,
            at_most=processes.at_most,
            spare_least=processes.spare_least,
            spare_most=processes.spare_most,
        )
        self._configured = True
        return True

    def _failed(self, error: str) -> None:
        self._carry_out(self.supervision.handle(Event.FAILED, error=error))

    def _resume(self) -> None:
        if self._configured:
            self._shared.dataplane.exec_resume(self.id)
        elif self._configure():  # whether a process starts is seen with the next message
            asyncio.get_running_loop().call_soon(self._tell, Event.WORKS)

    def _set_timer(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._shared.clock.call_later(seconds, partial(self._tell, Event.TIMER))

    def _report(self, told: ev.Report) -> None:
        pool = self.supervision.policy.pool
        self._shared.report(told.level, told.event, pool=pool, text=told.text)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
