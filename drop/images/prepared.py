"""An image that is ready: how the next worker of one function is started from it.

`start` writes one small file at the most, and makes a control group; it may be called in the loop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drop.images import launcher, oci
from drop.images.container import Container, worker_env
from drop.images.faults import ImageError
from drop.images.image_config import ImageConfig
from drop.images.launcher import Runtime, Start
from drop.images.machine import Machine
from drop.images.reference import Reference
from drop.images.settings import Volume


@dataclass(frozen=True)
class PreparedImage:
    machine: Machine
    reference: Reference
    image: ImageConfig
    container: Container
    cmd: tuple[str, ...]
    engine_reason: str
    """Why an engine runs the workers, for people; empty when they are started directly."""

    def start(self, name: str, env: Mapping[str, str], volumes: Sequence[Volume] = ()) -> Start:
        """How to spawn a worker. `name`: never used before, of A-Z a-z 0-9 and -. `env`: DROP_*,
        LANG, TZ and what the flow names; PATH and HOME are the image's. `volumes`: for this worker
        alone. Raises ImageError."""
        if volumes:
            return self._with(volumes).start(name, env)
        if self.engine_reason:
            return self._by_engine(name, env)
        try:
            return self._directly(name, env)
        except OSError as error:
            raise ImageError(
                f"image {self.reference.name}: a worker cannot be prepared: {error.filename}:"
                f" {error.strerror}"
            ) from error

    def _with(self, volumes: Sequence[Volume]) -> PreparedImage:
        settings = self.container.settings
        settings = replace(settings, volumes=(*settings.volumes, *volumes))
        options = (*self.reference.options, *(volume.option for volume in volumes))
        return replace(
            self,
            container=replace(self.container, settings=settings),
            reference=replace(self.reference, options=options),
        )

    def _directly(self, name: str, env: Mapping[str, str]) -> Start:
        machine, container, runtime = self.machine, self.container, self.machine.runtime
        assert isinstance(runtime, Runtime)
        groups = machine.groups
        grouped = not groups.problem and (machine.own_groups or not runtime.enters_groups)
        if grouped:
            groups.make(name, container.limits.memory_mib, container.limits.processes)
        document = oci.config(
            container,
            root=f"{machine.scratch}/root",
            env=worker_env(container, env),
            hostname=name,
            seccomp=machine.filter_for(container.account),
            network_files=machine.network_files,
            cgroup=groups.inner(name) if grouped and not runtime.enters_groups else None,
        )
        bundle = machine.worker_directory(name)
        bundle.mkdir(mode=0o700)
        with (bundle / "config.json").open("w") as file:
            json.dump(document, file)
        argv = launcher.runtime_argv(
            runtime,
            name=name,
            bundle=str(bundle),
            scratch=machine.scratch,
            lower=str(machine.bundles.path(self.image.id, whole=True) / "rootfs"),
            writable_mib=container.writable_mib,
            groups=groups.entrances(name) if grouped and runtime.enters_groups else (),
        )
        # Without a group of ours there is nothing that two workers could get into each other's way
        # with: the runtime's state is in a file system of each one's own. But runc makes one.
        reusable = runtime.enters_groups and not grouped
        environment = {"PATH": launcher.RUNTIME_PATH}
        return Start(name, argv, environment, by_engine=False, reusable=reusable)

    def _by_engine(self, name: str, env: Mapping[str, str]) -> Start:
        machine, calls = self.machine, self.machine.calls
        argv = launcher.engine_argv(
            (*calls.engine.argv, *machine.flags.engine),
            calls.engine.kind,
            name=name,
            labels=machine.labels,
            image=self.image,
            container=self.container,
            options=self.reference.options,
            cmd=self.cmd,
            env=env,
            limits=machine.flags.run,
        )
        return Start(name, argv, launcher.engine_env(calls.environment, env), by_engine=True)
