"""One pool: carries out what its supervision asks for, and tells it what happened.

No decision is taken here. Everything runs on the control plane's thread; messages never pass.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from drop.clock import Clock, Timer
from drop.workers import events as ev
from drop.workers.dataplane import Dataplane
from drop.workers.happenings import Happenings
from drop.workers.process import LaunchError, Process
from drop.workers.slot import LIVE
from drop.workers.spawner import Spawner, Ticket
from drop.workers.supervision import Supervision

_Result = TypeVar("_Result")

Launch = Callable[[int], Process]
"""Starts a worker, given its number in the pool (from 1). Raises LaunchError."""


class Logs(Protocol):
    def add(self, pool: str, worker: int, pid: int, fd: int) -> int:
        """Takes the reading end of a stderr; returns what the dataplane marks a message with."""


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
    how: str = ""
    """It ended, for whoever waits for its answer."""


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
        self._rolled_out: list[asyncio.Future[ev.RolledOut]] = []
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

    def renew(self, workers: Collection[int] | None) -> asyncio.Future[ev.RolledOut]:
        """Start these workers anew (None: all), as an update does. Done when they are all new, or
        when one of the new ones has failed; or cancelled, when the pool is not up."""
        told: asyncio.Future[ev.RolledOut] = asyncio.get_running_loop().create_future()
        self._rolled_out.append(told)
        slots = None if workers is None else frozenset(worker - 1 for worker in workers)
        self._tell(ev.Renew(slots))
        if self._supervision.roll_out is None and not told.done():
            told.cancel()
        return told

    def signal(self, worker: int, number: int) -> bool:
        """Send a signal to the process group of a worker; False: it has no process. What follows
        is up to the supervision, which sees the end of the process, if it ends."""
        slot = self._supervision.slots.get(worker - 1)
        if slot is None or slot.state not in LIVE:
            return False
        process = self._workers[slot.number].process
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.signal_group(kill=number == signal.SIGKILL)
        else:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)  # not reaped: the state says so
        return True

    @property
    def supervision(self) -> Supervision:
        """To look at, not to change."""
        return self._supervision

    # --- what the dataplane reports ---

    def worker_gone(self, worker: int, reason: str, unanswered: int, answered: int) -> None:
        if (slot := self._slot_of(worker)) is not None:
            self._tell(ev.Gone(slot, reason, unanswered, answered))

    def worker_drained(self, worker: int, answered: int) -> None:
        if (slot := self._slot_of(worker)) is not None:
            self._tell(ev.Drained(slot, answered))

    def worker_ready(self, worker: int) -> None:
        if (slot := self._slot_of(worker, last=False)) is not None:
            self._tell(ev.Ready(slot))

    def worker_health(self, worker: int, outcome: str) -> None:
        if (slot := self._slot_of(worker, last=False)) is not None:
            self._tell(ev.HealthAnswer(slot, outcome))

    def unknown_token(self, worker: int, count: int, line: bytes) -> None:
        """At most once a second for each worker; `count` of them since the last time."""
        slot = self._slots.get(worker)
        text = f"{count} answers with a token that no message waits for, such as {line!r}"
        self._shared.report(
            "warning",
            "unknown_token",
            pool=self._supervision.policy.pool,
            worker=None if slot is None else slot + 1,
            pid=None,
            text=text,
        )

    def pool_drained(self) -> None:
        if not self._supervision.policy.source:  # whose events end with its workers only
            _done(self.drained, None)
        self._tell(ev.PoolDrained())

    def _slot_of(self, worker: int, *, last: bool = True) -> int | None:
        """None for a worker that has a successor already. `last`: no more news of it will come."""
        slot = self._slots.pop(worker, None) if last else self._slots.get(worker)
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
                dataplane.worker_exited(self._workers[slot].id, self._workers[slot].how)
            case ev.Signal(slot, kill):
                self._workers[slot].process.signal_group(kill=kill)
            case ev.SetTimer(key, seconds):
                self._set_timer(key, seconds)
            case ev.CancelTimer(key):
                if timer := self._timers.pop(key, None):
                    timer.cancel()
            case ev.Probe(slot, health):
                dataplane.worker_probe(self._workers[slot].id, health.message, health.expect)
            case ev.DrainPool():
                dataplane.pool_drain(self.id)
            case ev.Refuse(text):
                dataplane.pool_refuse(self.id, text)
            case ev.Report():
                self._report(action)
            case ev.RolledOut():
                told, self._rolled_out = self._rolled_out, []
                for future in told:
                    _done(future, action)
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
            mark = shared.logs.add(policy.pool, slot + 1, process.pid, stderr)
        except OSError as error:
            os.close(stderr)
            process.reap()
            raise LaunchError(f"{policy.command}: {error}", hopeless=False) from error
        ready = (policy.ready or "").encode()
        stdin, stdout = process.take_pipes()
        id_ = shared.dataplane.worker_add(
            self.id, stdin, stdout, process.pid, ready=ready, mark=mark
        )
        worker = _Worker(process, id_)
        self._workers[slot], self._slots[worker.id] = worker, slot
        loop = asyncio.get_running_loop()
        loop.add_reader(process.pidfd, partial(self._exited, slot, process))
        self._tell(ev.Spawned(slot, process.pid))

    def _exited(self, slot: int, process: Process) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        status = process.reap()
        self._workers[slot].how = str(status)
        self._tell(ev.Exited(slot, str(status), status.clean))

    def _slot_started(self, slot: int) -> None:
        self._unstarted.discard(slot)
        if not self._unstarted:
            _done(self.started, None)

    def _set_timer(self, key: ev.TimerKey, seconds: float) -> None:
        if old := self._timers.pop(key, None):
            old.cancel()
        self._timers[key] = self._shared.clock.call_later(seconds, partial(self._fire, key))

    def _fire(self, key: ev.TimerKey) -> None:
        del self._timers[key]
        self._tell(ev.timer_event(key))

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
            _done(future, None)


def _done(future: asyncio.Future[_Result], result: _Result) -> None:
    if not future.done():
        future.set_result(result)
