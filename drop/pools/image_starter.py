"""How the workers of a pool are started in a container image: see `drop.images`.

The container is the containment; what is ours are the control groups, in which each worker has its
limits as any other has.
"""

from __future__ import annotations

from functools import partial

from drop.flow.plan import Pool
from drop.host.cgroup_tree import Limits
from drop.images.faults import ImageError
from drop.images.launcher import Start
from drop.images.settings import Volume
from drop.pools.host import Host
from drop.pools.starter import EVERYBODY, Starter
from drop.secrets.credentials import Owner
from drop.secrets.provision import Given
from drop.workers.process import Command, LaunchError, Process, Recipe, launch, prepare


class ImageStarter(Starter):
    def __init__(self, pool: Pool, host: Host) -> None:
        assert host.images is not None
        self._preparations = host.images
        self._shared_start: Start | None = None
        super().__init__(pool, host)

    def launch(self, worker: int) -> Process:
        given = self._provide(worker)
        start = self._start(given, worker)
        try:
            process = launch(self._recipe_of(start), worker - 1)
        except LaunchError:
            self._take_back(given, start)
            raise
        process.when_reaped = partial(self._take_back, given, start)
        return process

    def capsule(self) -> object:
        given = self._provide(EVERYBODY)
        start = self._start(given, EVERYBODY)
        recipe = self._recipe_of(start)
        if not start.reusable:
            self._take_back(given, start)
            text = (
                f"{self.command}: kind exec in an image needs crun, and control groups that the "
                "node may use: install crun, or let one of the other kinds do it"
            )
            raise LaunchError(text, hopeless=True)
        recipe.prepare_all()
        self._release_shared()
        self._shared_given, self._shared_start, self._recipe = given, start, recipe
        return recipe.native.capsule()

    def close(self) -> None:
        super().close()
        self._preparations.release(self._pool.name)

    def _release_shared(self) -> None:
        super()._release_shared()
        start, self._shared_start = self._shared_start, None
        if start is not None:
            self._preparations.later(self._preparations.images.ended(start))

    def _take_back(self, given: Given, start: Start) -> None:
        given.release()
        self._preparations.later(self._preparations.images.ended(start))

    def _owner(self) -> Owner | None:
        account = self._preparations.of(self._pool).container.account
        return Owner(account.uid, account.gid)

    def _start(self, given: Given, worker: int) -> Start:
        preparations, how = self._preparations, self._pool.launch
        volumes = []
        if given.directory is not None:
            volumes.append(Volume(given.directory, given.directory, read_only=True))
        try:
            return preparations.images.start(
                preparations.of(self._pool),
                self._container_environment(given.environment(dict(how.env)), worker),
                volumes,
            )
        except ImageError as error:
            given.release()
            raise LaunchError(f"{self.command}: {error}", hopeless=False) from error

    def _container_environment(self, extra: dict[str, str], worker: int) -> dict[str, str]:
        """PATH and HOME are the image's, unless the flow names them."""
        own = self._environment(self._account(), extra)
        kept = {name: own[name] for name in own if name in extra or name not in ("PATH", "HOME")}
        return kept if worker == EVERYBODY else kept | {"DROP_WORKER": str(worker)}

    def _recipe_of(self, start: Start) -> Recipe:
        limits = self._limits()
        command = Command(start.argv, None, start.environment)
        return prepare(command, groups=self._keep_groups(limits), memory_mib=limits.memory_mib)

    def _limits(self) -> Limits:
        """Those that can be kept here; an image without the others is refused by `drop.images`."""
        how, problems = self._pool.launch, self._host.groups.problems
        return Limits(
            None if "memory" in problems else how.memory_mib,
            None if "pids" in problems else how.limits.processes,
            100 if "cpu" in problems else how.limits.cpu,
        )


def starter_of(pool: Pool, host: Host) -> Starter:
    return ImageStarter(pool, host) if pool.launch.image else Starter(pool, host)
