"""The door: prepares images for pools, and tidies up after workers.

    prepared = await images.prepare("--network host validator:0.1.0", cmd=("./validator",))
    start = images.start(prepared, env)    # argv and environment to spawn with three plain pipes
    ...                                    # the process has ended and was reaped
    images.exceeded_memory(start)          # why, perhaps
    await images.ended(start)

Preparing is slow and runs in threads of its own; an image is unpacked once, whoever asks for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drop.images.bundle import remove_tree
from drop.images.container import Limits, container_of
from drop.images.faults import ImageError, ReferenceFault
from drop.images.image_config import ImageConfig
from drop.images.launcher import Runtime, Start
from drop.images.machine import Machine
from drop.images.prepared import PreparedImage
from drop.images.reference import Reference, parse
from drop.images.settings import NETWORKS, Settings, Volume, settings_of

REMOVAL_TRIES = 100
REMOVAL_PAUSE_SECONDS = 0.02
"""The kernel keeps a control group until it has taken apart the last process: 2 s in all."""


@dataclass(frozen=True)
class _Wanted:
    """What one function asks for."""

    reference: Reference
    settings: Settings
    cmd: tuple[str, ...]
    limits: Limits
    network: str


@dataclass
class _Use:
    """Of one image, by its id."""

    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


class Images:
    """`engine`: auto, podman, docker, or a command line. `own_groups`: False where each worker is
    spawned into a control group with its limits already; crun then makes none."""

    def __init__(
        self, var_dir: str | os.PathLike[str], *, engine: str = "auto", own_groups: bool = True
    ) -> None:
        self._machine = Machine(var_dir, engine, own_groups)
        self._uses: dict[str, _Use] = {}
        self._started = 0

    @property
    def owner(self) -> str:
        """What control groups and containers of this node have in their names."""
        return self._machine.owner

    @property
    def directory(self) -> Path:
        """Where all of it lies: VAR/images."""
        return self._machine.directory

    async def prepare(
        self,
        text: str,
        *,
        cmd: Sequence[str] = (),
        limits: Limits | None = None,
        network: str = "none",
    ) -> PreparedImage:
        """`text`: what the key `image` says; `network`: where that says none. Raises ImageError."""
        try:
            reference = parse(text)
            settings = settings_of(reference)
        except ReferenceFault as fault:
            raise ImageError(f"image {text!r}: {fault}") from None
        wanted = _Wanted(reference, settings, tuple(cmd), limits or Limits(), network)
        await self._machine.open()
        config = await self._machine.calls.look_up(reference.name, settings.pull)
        use = self._uses.setdefault(config.id, _Use())
        use.count += 1  # before it is there, so that nobody collects it meanwhile
        try:
            prepared = await self._prepare(wanted, config, use)
            await self._collect()
        except BaseException as error:
            use.count -= 1
            if isinstance(error, ImageError) and reference.name not in str(error):
                raise ImageError(f"image {reference.name}: {error}") from None
            raise
        return prepared

    async def release(self, prepared: PreparedImage) -> None:
        """Its pool is gone: nothing is started from it any more, and nothing of it runs."""
        self._uses[prepared.image.id].count -= 1
        await self._collect()

    def start(
        self, prepared: PreparedImage, env: Mapping[str, str], volumes: Sequence[Volume] = ()
    ) -> Start:
        """How to spawn the next worker; at once. `env`: DROP_*, LANG, TZ and what the flow names,
        but not the node's own PATH and HOME. `volumes`: for this worker alone, such as a directory
        of secrets. Raises ImageError."""
        self._started += 1
        return prepared.start(f"drop-{self._machine.run}-{self._started}", env, volumes)

    def exceeded_memory(self, start: Start) -> bool:
        """Whether the kernel has killed something in it for lack of memory; before `ended`, and
        to be asked for a worker that ended by SIGKILL or with the code 137."""
        machine = self._machine
        if start.by_engine or not isinstance(machine.runtime, Runtime):
            return False
        return machine.groups.exceeded_memory(start.name, entered=machine.runtime.enters_groups)

    async def ended(self, start: Start) -> None:
        """The process of a worker has been reaped, or could not be spawned: what is left goes."""
        machine = self._machine
        if start.by_engine:
            await machine.commands.call(machine.calls.remove_now, start.name)
            return
        remove_tree(machine.worker_directory(start.name))
        for _ in range(REMOVAL_TRIES):
            if machine.groups.remove(start.name):
                return
            await asyncio.sleep(REMOVAL_PAUSE_SECONDS)

    async def close(self) -> None:
        """Every worker has ended. What is being prepared is given up."""
        await self._machine.close()

    def report(self) -> list[str]:
        """What was found on this machine, a line each; for people."""
        return self._machine.report()

    async def _prepare(self, wanted: _Wanted, config: ImageConfig, use: _Use) -> PreparedImage:
        machine, reason = self._machine, self._why_engine(wanted)
        async with use.making:
            facts = await machine.commands.call(
                machine.bundles.get_now,
                config,
                machine.calls,
                whole=not reason,
                label=machine.labels[1],
            )
        container = container_of(facts, wanted.settings, wanted.cmd, wanted.limits, wanted.network)
        if reason:
            await machine.open_engine_run(config.id, container)
        elif container.limits.memory_mib and machine.own_groups and machine.groups.problem:
            raise ImageError(
                f"its memory cannot be limited on this machine: {machine.groups.problem};"
                " give no memory, or let the node write there"
            )
        await machine.commands.call(_check_volumes, wanted.settings)
        return PreparedImage(machine, wanted.reference, config, container, wanted.cmd, reason)

    def _why_engine(self, wanted: _Wanted) -> str:
        """Why an engine has to run the container; empty when a bundle will do."""
        if isinstance(self._machine.runtime, str):
            return self._machine.runtime
        if wanted.settings.network is None and wanted.network not in NETWORKS:
            return f"the network {wanted.network}"
        return wanted.settings.engine_only

    async def _collect(self) -> None:
        used = {image for image, use in self._uses.items() if use.count > 0}
        await self._machine.commands.call(self._machine.bundles.collect_now, used)


def _check_volumes(settings: Settings) -> None:
    for volume in settings.volumes:
        if not Path(volume.source).exists():
            raise ImageError(f"there is no {volume.source} on this machine to be a volume")
