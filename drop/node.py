"""The composition root: the only place that builds the parts of a node and wires them together.

    listeners, worker pipes  <->  Reactor (native)  <->  Happenings  <->  pools  <->  Flows

`Node.run` is the node's whole life: locked, bound, started, ready, drained, gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import uvloop

from drop._fast import reactor
from drop._fast.logger import Logger
from drop.clock import Clock, SystemClock
from drop.cluster.discovery import Discovery
from drop.config import Settings
from drop.errors import ConfigurationError
from drop.flow.flows import FlowError, Flows
from drop.flow.runner import Runner
from drop.flow.spec import LoadedFlow
from drop.flow.store import FlowStore
from drop.host import confinement, journal
from drop.host.accounts import fault_of
from drop.host.cgroups import NodeGroups
from drop.host.limits import raise_descriptor_limit
from drop.host.listeners import Listeners
from drop.host.lock import DirectoryLock
from drop.host.notify import Notifier
from drop.images.images import Images
from drop.packages.resolve import with_packages
from drop.packages.store import PackageStore
from drop.pools.host import Host
from drop.pools.planned import PlannedPools
from drop.pools.preparations import Preparations
from drop.problems import ConfigurationErrors
from drop.secrets.credentials import Credentials, places
from drop.secrets.operations import SecretOperations
from drop.secrets.provision import Provision
from drop.secrets.store import SecretStore
from drop.secrets.value import SecretError
from drop.workers.exec_supervision import ExecSupervision
from drop.workers.happenings import Happenings, MessageHandler
from drop.workers.pool import Shared
from drop.workers.spawner import Spawner
from drop.workers.supervision import Supervision

CONTROL_POOL = "$control"
CONTROL_TIMEOUT_MS = 120_000
"""Of one control operation: the start of a flow of a thousand pools, or a stop with its grace."""
KILL_SECONDS = 2.0
"""After SIGKILL to all workers, until the node goes without having seen each of them end."""


class Node:
    """One node; `run` once."""

    def __init__(
        self,
        settings: Settings,
        flow_files: Sequence[str],
        *,
        environ: Mapping[str, str],
        notifier: Notifier,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.started_at = self.clock.now()
        self.descriptor_limit = 0
        self.addresses: list[str] = []
        self._environ = environ
        self._flow_files = flow_files
        self._notifier = notifier
        self._stopping = asyncio.Event()
        self._killed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, control: Callable[[Node], MessageHandler]) -> int:
        """Returns the exit status. Raises ConfigurationError when it cannot start.

        `control(node)` makes the handler of messages for `$control`.
        """
        settings = self.settings
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._notifier.close)
            self._notifier.watch(self.clock)
            _make_directories(settings)
            lock = DirectoryLock(Path(settings.var_dir))
            lock.acquire()
            stack.callback(lock.release)
            self.descriptor_limit = raise_descriptor_limit()
            listeners = Listeners(settings, self._environ)
            stack.callback(listeners.close)
            self._build(stack)
            self._open_control(control(self))
            self._watch_signals()
            stack.push_async_callback(self._drain)
            await self.flows.open()
            for listener in listeners.take():
                self.dataplane.listen(listener.fd, trusted=listener.trusted)
            self.discovery.start()
            stack.push_async_callback(self.discovery.close)  # before the drain: nobody sends more
            self._ready(listeners)
            await self._stopping.wait()
            self._notifier.stopping()
        journal.event("info", "stopped")
        return 1 if self._killed.is_set() else 0

    def stop(self) -> None:
        """Drain and end; a second time: end now."""
        journal.event("info", "stopping", at_once=self._stopping.is_set() or None)
        if self._stopping.is_set():
            self._killed.set()
            self.runner.kill()
        self._preparations.give_up()
        self._stopping.set()

    def reload(self) -> None:
        """Read the flow files again, and open the log files anew."""
        self.logger.reopen()
        task = asyncio.get_running_loop().create_task(self._reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def supervision(self, pool: str) -> Supervision | ExecSupervision | None:
        """How a pool is doing; to look at. None: there is none of that name."""
        return self.pools.supervision(pool)

    def image_report(self) -> list[str]:
        """How functions in images are run here, a line each."""
        return self._preparations.images.report()

    def renew(self, pool: str) -> None:
        """Replace the workers of a pool in turn, with the command that they have."""
        if pool in self.runner.pools:
            self.pools.renew(pool)

    # --- starting ---

    def _build(self, stack: contextlib.AsyncExitStack) -> None:
        """Make the parts and start the threads; `stack` ends them in the opposite order."""
        settings, limits = self.settings, self.settings.limits
        logs = settings.logs.model_dump()
        self.logger = Logger(settings.log_dir, **logs)
        self.logger.start()
        self.dataplane = reactor.Reactor(
            node_name=settings.name,
            token=settings.token,
            gather=settings.gather,
            logs=self.logger.sink(),
            **limits.model_dump(),
        )
        self.dataplane.start()
        stack.callback(self.dataplane.stop)
        self.happenings = Happenings(self.dataplane, reactor, _on_error)
        self.happenings.start()
        stack.callback(self.happenings.stop)
        stack.callback(self.logger.stop)  # before the reactor, which it still answers
        self.groups = NodeGroups.open(settings.name, settings.var_dir)
        stack.callback(self.groups.close)
        shared = Shared(
            self.dataplane,
            self.happenings,
            Spawner(self.clock),
            self.logger,
            self.clock,
            journal.event,
        )
        self.pools = PlannedPools(
            Host(
                shared=shared,
                settings=settings,
                environ=self._environ,
                offers=confinement.probe(),
                groups=self.groups,
                provision=self._build_secrets(stack),
                images=self._build_images(stack),
            )
        )
        self.runner = Runner(self.pools, self.dataplane, self.clock.now)
        self.flows = Flows(
            self.runner,
            FlowStore(settings.flow_dir),
            self._flow_files,
            grace_seconds=settings.grace_ms / 1000.0,
            report=_report_configuration,
            resolve=self._resolve,
        )

        self.discovery = Discovery(
            settings,
            self._environ,
            clock=self.clock,
            report=journal.event,
            on_error=_on_error,
            workers=self.live_workers,
        )

    def live_workers(self) -> int:
        """Processes that run, of all pools, without those of kind exec."""
        found = (self.supervision(name) for name in self.runner.pools)
        return sum(each.live() for each in found if isinstance(each, Supervision))

    def _resolve(self, flow: LoadedFlow) -> LoadedFlow:
        """With what it takes from packages. Raises ConfigurationError, also for workers of users
        that there are not."""
        flow, faults = with_packages(flow, store=PackageStore(self.settings.var_dir)), []
        for index, function in enumerate(flow.spec.func):
            user = function.user if function.image is None else None
            if user and (fault := fault_of(user, self.settings.worker_user)):
                place = ("func", index, "user")
                faults.append(flow.source.error(place, fault, "a user of this machine"))
        if faults:
            raise ConfigurationErrors(faults)
        return flow

    def _build_images(self, stack: contextlib.AsyncExitStack) -> Preparations:
        settings = self.settings
        images = Images(
            settings.var_dir,
            engine=settings.images.engine,
            own_groups=bool({"memory", "pids"} & self.groups.problems.keys()),
        )
        self._preparations = Preparations(images, _on_error)
        stack.push_async_callback(self._preparations.close)
        return self._preparations

    def _build_secrets(self, stack: contextlib.AsyncExitStack) -> Provision:
        var_dir = self.settings.var_dir
        credentials = Credentials(var_dir, places(var_dir, self._environ, os.geteuid()))
        store = SecretStore(var_dir)
        provision = Provision(store, credentials, _report_secrets)
        provision.clear()
        stack.callback(provision.clear)
        self.secrets = SecretOperations(
            store, provision, lambda: self.runner.pools, self.renew, journal.event
        )
        return provision

    def _open_control(self, handler: MessageHandler) -> None:
        pool = self.dataplane.pool_create(
            CONTROL_POOL, kind="control", timeout_ms=CONTROL_TIMEOUT_MS
        )
        self.happenings.on_message(pool, handler)

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _ready(self, listeners: Listeners) -> None:
        for warning in self.settings.warnings:
            _report_configuration(warning)
        self.addresses = listeners.addresses
        where = ", ".join(self.addresses)
        pools = len(self.runner.pools)
        journal.event("info", "ready", listen=where, pools=pools, pid=os.getpid())
        self._notifier.ready(f"listens on {where}")

    # --- running ---

    async def _reload(self) -> None:
        self._notifier.reloading(self.clock.now())
        try:
            await self.flows.reload()
        except FlowError as error:
            for line in str(error).splitlines():
                journal.event("error", "flow_not_reloaded", error=line)
            journal.event("error", "reload_failed", text="the running flows stay as they were")
        else:
            journal.event("info", "reloaded", pools=len(self.runner.pools))
        self.renew_changed()
        self._notifier.reloaded()

    def renew_changed(self) -> None:
        """Replace the workers that have other secrets or files of variables than there are now."""
        try:
            self.secrets.changed({})
        except SecretError as error:
            _report_secrets(str(error))

    # --- stopping ---

    async def _drain(self) -> None:
        """No new work; what runs ends within the grace, else it is ended."""
        grace, begin = self.settings.grace_ms / 1000.0, self.clock.now()
        self.runner.stop_sources(grace)
        self.dataplane.drain()
        await self._first_of(self.happenings.drained.wait(), grace)
        left = max(0.0, grace - (self.clock.now() - begin))
        closing = asyncio.ensure_future(self.flows.close(left))
        await self._first_of(asyncio.shield(closing), None)
        if not closing.done():
            await asyncio.wait([closing], timeout=KILL_SECONDS)
        closing.cancel()

    async def _first_of(self, what: Awaitable[object], seconds: float | None) -> None:
        """Wait for it, for the time to pass, or for the order to end at once."""
        tasks = [asyncio.ensure_future(what), asyncio.ensure_future(self._killed.wait())]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def run_node(node: Callable[[], Node], control: Callable[[Node], MessageHandler]) -> int:
    """A node's whole life, on a uvloop of its own in this thread."""

    async def main() -> int:
        return await node().run(control)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(main())
    leaks = reactor.leak_counters()
    if leaks:  # a fault of ours: said, and not taken for a clean end
        journal.event("error", "leaked", **leaks)
    return status or int(bool(leaks))


def _make_directories(settings: Settings) -> None:
    for directory in (settings.var_dir, settings.flow_dir, settings.log_dir):
        try:
            # Workers of another user pass through to the functions, and see nothing on the way.
            mode = 0o751 if directory == settings.var_dir else 0o750
            os.makedirs(directory, mode=mode, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot be made: {error.strerror}",
                file=directory,
                expected="a directory that the node may write to: --var-dir DIR",
            ) from error


def _report_configuration(fault: ConfigurationError) -> None:
    journal.event("warning", "configuration", text=str(fault))


def _report_secrets(text: str) -> None:
    journal.event("warning", "secrets", text=text)


def _on_error(what: str, error: Exception) -> None:
    """A mistake of our own, in the handling of one happening."""
    journal.LOGGER.error("internal_error", exc_info=error, extra={"fields": {"what": what}})
