"""How the workers of a pool are started in a container image: see `drop.images`.

The container is the containment; what is ours are the control groups, in which each worker has its
limits as any other has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from drop.flow.plan import Pool
from drop.host.cgroup_tree import Limits
from drop.images.faults import ImageError
from drop.images.launcher import Start
from drop.images.prepared import PreparedImage
from drop.images.settings import Volume
from drop.pools.host import Host
from drop.pools.preparations import Outcome
from drop.pools.starter import EVERYBODY, Starter
from drop.secrets.credentials import Owner
from drop.secrets.provision import Given
from drop.workers.process import Command, LaunchError, Process, Recipe, launch, prepare


class ImageStarter(Starter):
    def __init__(self, pool: Pool, host: Host, image_came: Callable[[], object]) -> None:
        """`image_came`: there is an image now that was missing; workers can be started."""
        assert host.images is not None
        self._preparations = host.images
        self._image_came = image_came
        self._outcome: Outcome = "it has not been prepared"
        self._earlier: list[PreparedImage] = []  # workers of them may still run
        self._trying: Pool | None = None
        self._closed = False
        super().__init__(pool, host)

    def update(self, pool: Pool) -> None:
        super().update(pool)
        outcome = self._preparations.take(pool.name)
        if outcome is not None:
            self._use(outcome)

    def launch(self, worker: int) -> Process:
        image = self._image()
        given = self._provide(worker)
        start = self._start(image, given, worker)
        try:
            process = launch(self._recipe_of(start), worker - 1)
        except LaunchError:
            self._take_back(given, start)
            raise
        process.when_reaped = partial(self._take_back, given, start)
        return process

    def capsule(self) -> object:
        image = self._image()
        given = self._provide(EVERYBODY)
        start = self._start(image, given, EVERYBODY)
        try:
            if not start.reusable:
                text = (
                    f"{self.command}: kind exec in an image needs crun, and control groups that "
                    "the node may use: install crun, or let one of the other kinds do it"
                )
                raise LaunchError(text, hopeless=True)
            recipe = self._prepare_all(partial(self._recipe_of, start))
        except LaunchError:
            self._take_back(given, start)
            raise
        return self._lend(recipe, partial(self._take_back, given, start))

    def close(self) -> None:
        super().close()
        self._closed = True
        for outcome in (*self._earlier, self._outcome):
            self._preparations.release(outcome)

    # --- the image ---

    def _image(self) -> PreparedImage:
        """Raises LaunchError; then it is tried again, for the next time."""
        if isinstance(self._outcome, PreparedImage):
            return self._outcome
        if self._trying is not self._pool:
            self._trying = self._pool
            self._preparations.again(self._pool, partial(self._tried_again, self._pool))
        raise LaunchError(f"{self._pool.launch.place}: {self._outcome}", hopeless=True)

    def _tried_again(self, pool: Pool, outcome: Outcome) -> None:
        if self._closed or pool is not self._pool:
            self._preparations.release(outcome)
            return
        self._trying = None
        self._use(outcome)
        if isinstance(outcome, PreparedImage):
            self._image_came()

    def _use(self, outcome: Outcome) -> None:
        if isinstance(self._outcome, PreparedImage):
            self._earlier.append(self._outcome)
        self._outcome = outcome

    # --- the parts of a start ---

    def _take_back(self, given: Given, start: Start) -> None:
        given.release()
        self._preparations.later(self._preparations.images.ended(start))

    def _owner(self) -> Owner | None:
        account = self._image().container.account
        return Owner(account.uid, account.gid)

    def _start(self, image: PreparedImage, given: Given, worker: int) -> Start:
        preparations, how = self._preparations, self._pool.launch
        volumes = []
        if given.directory is not None:
            volumes.append(Volume(given.directory, given.directory, read_only=True))
        environment = self._container_environment(given.environment(dict(how.env)), worker)
        try:
            return preparations.images.start(image, environment, volumes)
        except ImageError as error:
            given.release()
            raise LaunchError(f"{self.command}: {error}", hopeless=False) from error

    def _container_environment(self, extra: dict[str, str], worker: int) -> dict[str, str]:
        """PATH and HOME are the image's, unless the flow names them."""
        own = self._environment(None, extra)
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


def starter_of(pool: Pool, host: Host, image_came: Callable[[], object]) -> Starter:
    return ImageStarter(pool, host, image_came) if pool.launch.image else Starter(pool, host)
