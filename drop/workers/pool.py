"""One pool: carries out what its supervision asks for, and tells it what happened.

No decision is taken here. Everything runs on the control plane's thread; messages never pass.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from drop.clock import Clock, Timer
from drop.workers import events as ev
from drop.workers.dataplane import Dataplane
from drop.workers.happenings import Happenings
from drop.workers.process import LaunchError, Process
from drop.workers.spawner import Spawner, Ticket
from drop.workers.supervision import Supervision

Launch = Callable[[int], Process]
"""Starts a worker, given its number in the pool (from 1). Raises LaunchError."""


class Logs(Protocol):
    def add(self, pool: str, worker: int, pid: int, fd: int) -> None: ...


class Report(Protocol):
    def __call__(self, level: str, name: str, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """What all pools of a node have in common."""

    dataplane: Dataplane
    happenings: Happenings
    spawner: Spawner
    logs: Logs
    clock: Clock
    report: Report


@dataclass(slots=True)
class _Worker:
    process: Process
    id: int
    """The reactor's name for it; unique, so that late news never reach a successor."""


class WorkerPool:
    """`id` is the reactor's. `started`, `drained` and `stopped` are done when that is so."""

    def __init__(
        self, policy: ev.Policy, mailbox: dict[str, Any], launch: Launch, shared: Shared
    ) -> None:
        """`mailbox`: the keywords of `Dataplane.pool_create`, which may raise ValueError."""
        self._shared = shared
        self._launch = launch
        self._supervision = Supervision(policy, shared.clock.random)
        self._workers: dict[int, _Worker] = {}
        self._slots: dict[int, int] = {}  # by the reactor's id
        self._tickets: dict[int, Ticket] = {}
        self._timers: dict[ev.TimerKey, Timer] = {}
        self._unstarted = set(range(policy.workers))
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.stopped: asyncio.Future[None] = loop.create_future()
        self.id = shared.dataplane.pool_create(policy.pool, **mailbox)
        shared.happenings.listen(self.id, self)

    def start(self) -> None:
        """`started` is done when each worker has been spawned or has failed to."""
        self._tell(ev.Start())

    def stop(self, grace_seconds: float) -> None:
        self._tell(ev.Stop(grace_seconds))

    def kill(self) -> None:
        self._tell(ev.Kill())

    def remove(self) -> None:
        """Once it has stopped, and no subscription names it."""
        assert self.stopped.done()
        self._shared.dataplane.pool_remove(self.id)
        self._shared.happenings.unlisten(self.id)

    def update(self, policy: ev.Policy, launch: Launch, *, replace: bool) -> None:
        self._launch = launch
        self._tell(ev.Update(policy, replace))

    @property
    def supervision(self) -> Supervision:
        """To look at, not to change."""
        return self._supervision

    # --- what the dataplane reports ---

    def worker_gone(self, worker: int, reason: str, unanswered: int, answered: int) -> None:
        if (slot := self._slot_of(worker)) is not None:
            self._tell(ev.Gone(slot, reason, unanswered, answered))

    def worker_drained(self, worker: int) -> None:
        if (slot := self._slot_of(worker)) is not None:
            self._tell(ev.Drained(slot))

    def pool_drained(self) -> None:
        _done(self.drained)
        self._tell(ev.PoolDrained())

    def _slot_of(self, worker: int) -> int | None:
        """None for a worker that has a successor already."""
        slot = self._slots.pop(worker, None)
        return slot if slot is not None and self._workers[slot].id == worker else None

    # --- what supervision asks for ---

    def _tell(self, event: ev.Input) -> None:
        for action in self._supervision.handle(event, self._shared.clock.now()):
            self._carry_out(action)

    def _carry_out(self, action: ev.Action) -> None:
        dataplane = self._shared.dataplane
        match action:
            case ev.Spawn(slot):
                self._tickets[slot] = self._shared.spawner.submit(partial(self._spawn, slot))
            case ev.CancelSpawn(slot):
                self._tickets.pop(slot).cancel()
                self._slot_started(slot)
            case ev.RemoveWorker(slot, drain):
                dataplane.worker_remove(self._workers[slot].id, drain=drain)
            case ev.TellExited(slot):
                dataplane.worker_exited(self._workers[slot].id)
            case ev.Signal(slot, kill):
                self._workers[slot].process.signal_group(kill=kill)
            case ev.SetTimer(key, seconds):
                self._set_timer(key, seconds)
            case ev.CancelTimer(key):
                if timer := self._timers.pop(key, None):
                    timer.cancel()
            case ev.DrainPool():
                dataplane.pool_drain(self.id)
            case ev.Refuse(text):
                dataplane.pool_refuse(self.id, text)
            case ev.Report():
                self._report(action)
            case ev.PoolStopped():
                self._finish()

    def _spawn(self, slot: int) -> None:
        del self._tickets[slot]
        try:
            self._adopt(slot, self._launch(slot + 1))
        except LaunchError as error:
            self._tell(ev.SpawnFailed(slot, str(error), error.hopeless))
        self._slot_started(slot)

    def _adopt(self, slot: int, process: Process) -> None:
        """Hand the new process's pipes to who reads them: from here on they are theirs."""
        shared, policy = self._shared, self._supervision.policy
        stderr = process.take_stderr()
        try:
            shared.logs.add(policy.pool, slot + 1, process.pid, stderr)
        except OSError as error:
            os.close(stderr)
            process.reap()
            raise LaunchError(f"{policy.command}: {error}", hopeless=False) from error
        worker = _Worker(
            process, shared.dataplane.worker_add(self.id, *process.take_pipes(), process.pid)
        )
        self._workers[slot], self._slots[worker.id] = worker, slot
        loop = asyncio.get_running_loop()
        loop.add_reader(process.pidfd, partial(self._exited, slot, process))
        self._tell(ev.Spawned(slot, process.pid))

    def _exited(self, slot: int, process: Process) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        status = process.reap()
        self._tell(ev.Exited(slot, str(status), status.clean))

    def _slot_started(self, slot: int) -> None:
        self._unstarted.discard(slot)
        if not self._unstarted:
            _done(self.started)

    def _set_timer(self, key: ev.TimerKey, seconds: float) -> None:
        if old := self._timers.pop(key, None):
            old.cancel()
        event: ev.Input = ev.PoolTimer() if key == "pool" else ev.BreakerTimer()
        if isinstance(key, int):
            event = ev.SlotTimer(key)
        self._timers[key] = self._shared.clock.call_later(seconds, partial(self._tell, event))

    def _report(self, told: ev.Report) -> None:
        self._shared.report(
            told.level,
            told.event,
            pool=self._supervision.policy.pool,
            worker=None if told.slot is None else told.slot + 1,
            pid=told.pid,
            text=told.text,
        )

    def _finish(self) -> None:
        assert not self._timers, "a stopped pool waits for nothing"
        for future in (self.started, self.drained, self.stopped):
            _done(future)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
