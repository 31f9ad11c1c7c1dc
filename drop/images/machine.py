"""What this machine has to run images with: found when the first image needs it, then remembered.

Everything of it lies in VAR/images, which one node owns:

    bundles/        see `bundle`
    workers/NAME/   the config.json of a worker that runs
    scratch/        empty: each worker mounts a file system of its own there, unseen by others
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from drop.images import janitor, oci
from drop.images.account import Account
from drop.images.bundle import Bundles, remove_tree
from drop.images.commands import Commands
from drop.images.container import Container
from drop.images.engine import EngineCalls, find_engine
from drop.images.engine_run import RunFlags, find_flags_now
from drop.images.groups import Groups
from drop.images.launcher import Runtime
from drop.images.probe import Probe
from drop.images.runtime import find_filter_now, find_runtime_now
from drop.images.seccomp import Filter

JANITOR_SECONDS = 10.0
NETWORK_FILES = ("/etc/resolv.conf", "/etc/hosts")


class Machine:
    """`calls` is there once `open` has returned, `flags` once `open_engine_run` has."""

    calls: EngineCalls
    flags: RunFlags

    def __init__(self, var_dir: str | os.PathLike[str], engine: str, own_groups: bool) -> None:
        self.directory = Path(var_dir).absolute() / "images"
        self.owner = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:8]
        self.run = f"{self.owner}-{secrets.token_hex(3)}"
        self.commands = Commands()
        self.bundles = Bundles(self.directory / "bundles", self.commands)
        self.groups = Groups(self.owner)
        self.own_groups = own_groups
        self.runtime: Runtime | str = "no image was needed yet"
        """Or why there is none."""
        self._filters: dict[tuple[str, ...], Filter | None] = {}
        self.network_files = tuple(path for path in NETWORK_FILES if os.path.isfile(path))
        self._environ = dict(os.environ)
        self._wanted = engine
        self._opening = asyncio.Lock()
        self._opened = False
        self._janitor: subprocess.Popen[bytes] | None = None

    @property
    def labels(self) -> tuple[str, str]:
        """Of the containers that an engine starts: those of this node, those of this run of it."""
        return f"drop.owner={self.owner}", f"drop.run={self.run}"

    @property
    def scratch(self) -> str:
        return str(self.directory / "scratch")

    def filter_for(self, account: Account) -> Filter | None:
        return self._filters[oci.capabilities(account)]

    def worker_directory(self, name: str) -> Path:
        return self.directory / "workers" / name

    async def open(self) -> None:
        """Raises ImageError when there is no engine; the next call looks again."""
        async with self._opening:
            if not self._opened:
                engine = await find_engine(self._wanted, self.commands, self._environ)
                self.calls = EngineCalls(engine, self.commands, self._environ)
                await self.commands.call(self._open_now)
                self._opened = True

    async def open_engine_run(self, image: str, container: Container) -> None:
        """What is needed besides where an engine runs the workers. Raises ImageError."""
        async with self._opening:
            if self._janitor is None:
                label = self.labels[1]
                self.flags = await self.commands.call(
                    find_flags_now, self.calls, image, container, label
                )
                self._janitor = await self.commands.call(self._start_janitor_now, label)

    async def close(self) -> None:
        self.commands.close()
        self.groups.close()
        process, self._janitor = self._janitor, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, JANITOR_SECONDS)

    def report(self) -> list[str]:
        """What was found, a line each; for people."""
        if not self._opened:
            return [f"engine: {self._wanted}; no image was needed yet"]
        engine, runtime = self.calls.engine, self.runtime
        lines = [f"engine: {engine}"]
        if isinstance(runtime, Runtime):
            lines.append(f"workers are started by {runtime}")
            if self._filters[()] is None:
                lines.append(
                    "no filter of system calls: podman, which brings one, is not installed"
                )
        else:
            lines.append(f"workers are started by {engine.kind} run: {runtime}")
        if self._janitor is not None:
            flags = " ".join((*self.flags.engine, *self.flags.run))
            lines.append(f"{engine.kind} run is called with: {flags or 'no flags'}")
        if self.groups.problem:
            lines.append(f"no limits of memory and processes: {self.groups.problem}")
        return lines

    def _open_now(self) -> None:
        """Makes the directories; ends and removes what a node that was killed has left."""
        for path in (self.directory, self.directory / "workers", self.directory / "scratch"):
            if path.name == "workers":
                remove_tree(path)
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
        self.bundles.open_now()
        for container in self.calls.left_over_now(self.labels[0]):
            self.calls.remove_now(container)
        if os.geteuid() == 0:
            self.groups.open()
        probe = self.directory / "probe"
        self.runtime = find_runtime_now(probe, self.groups, self.commands, self._environ)
        if isinstance(self.runtime, Runtime):
            trial = Probe(self.runtime, probe, self.groups, self.commands)
            for capabilities in ((), oci.ROOT_CAPABILITIES):
                self._filters[capabilities] = find_filter_now(self.runtime, capabilities, trial)

    def _start_janitor_now(self, label: str) -> subprocess.Popen[bytes]:
        engine = self.calls.engine
        janitor_arguments = [label, *engine.argv, janitor.BETWEEN, *engine.remove]
        return subprocess.Popen(
            [sys.executable, "-ISE", janitor.__file__, *janitor_arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self.calls.environment,
            start_new_session=True,  # what ends the node's group must not end this
        )
