"""How the workers of one pool are started: their command, user, containment, secrets.

One recipe serves all workers of a pool, unless they are given secrets or variables of files: those
are read anew for each worker, so each has an environment of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from shlex import join

from drop.flow.plan import Pool
from drop.host.accounts import Account, UnknownUser, for_workers
from drop.host.cgroup_tree import Limits
from drop.host.cgroups import PoolGroups
from drop.host.confinement import directories_named, directories_of_path
from drop.pools.adapters import MODULES, command_of
from drop.pools.host import Host
from drop.pools.lent import Lent
from drop.secrets.credentials import Owner
from drop.secrets.provision import Given, NotProvided, Wants
from drop.workers.containment import Containment, Wanted, contain
from drop.workers.environment import worker_environment
from drop.workers.process import Command, LaunchError, Process, Recipe, explain, launch, prepare

STAND_IN = 1
"""Of a roll-out: a new worker that serves before an old one is ended."""
ENDING = 8
"""Processes of kind exec that have answered and are not gone yet."""
EXEC_SLOTS_MAX = 1152
"""DROP_EXEC_SLOTS_MAX in c_src/exec.h."""
EVERYBODY = 0
"""The worker whose secrets all processes of kind exec share."""


class Starter:
    """Made with a pool, renewed when its launch changes, closed when it is gone."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._host = host
        self._groups: PoolGroups | None = None
        self._lent = Lent(host.shared.clock)
        self._explained: Command | None = None
        self.update(pool)

    def update(self, pool: Pool) -> None:
        """Workers that are started from now on are started so."""
        self._pool = pool
        self._recipe: Recipe | None = None
        self._containment: Containment | None = None

    def launch(self, worker: int) -> Process:
        """Raises LaunchError."""
        how, given = self._pool.launch, self._provide(worker)
        if not how.secrets and not how.env_files:
            if self._recipe is None:
                self._recipe = self._prepare(given)
            return launch(self._recipe, worker - 1)
        try:
            process = launch(self._prepare(given), worker - 1)
        except LaunchError:
            given.release()
            raise
        process.when_reaped = given.release
        return process

    def capsule(self) -> object:
        """For the dataplane, which starts processes of kind exec itself. Raises LaunchError."""
        given = self._provide(EVERYBODY)
        try:
            recipe = self._prepare_all(partial(self._prepare, given))
        except LaunchError:
            given.release()
            raise
        return self._lend(recipe, given.release)

    def explain(self, number: int, step: str) -> str:
        """Why the dataplane could not start a process."""
        assert self._explained is not None, "nothing fails that was not configured"
        return str(explain(self._explained, number, step))

    @staticmethod
    def describe(pool: Pool) -> str:
        """The command, for people."""
        how = pool.launch
        return join((how.image, *how.argv) if how.image else how.argv)

    @property
    def command(self) -> str:
        return self.describe(self._pool)

    def close(self) -> None:
        """The pool is gone: nothing of it is left running."""
        self._lent.close()
        if self._groups is not None:
            self._groups.remove()

    def _lend(self, recipe: Recipe, take_back: Callable[[], None]) -> object:
        """The capsule of what all processes are started by from now on."""
        self._lent.replace(take_back, self._pool.mailbox.timeout_ms)
        self._explained = recipe.command
        return recipe.native.capsule()

    def _prepare_all(self, make: Callable[[], Recipe]) -> Recipe:
        """A recipe with all of its slots. Raises LaunchError."""
        recipe = make()
        try:
            recipe.prepare_all()
        except OSError as error:
            text = f"{self.command}: cannot make the control groups of the pool: {error}"
            raise LaunchError(text, hopeless=False) from error
        return recipe

    # --- the parts of a recipe ---

    def _provide(self, worker: int) -> Given:
        how = self._pool.launch
        wants = Wants(how.secrets, how.env_files, how.place)
        owner = self._owner()
        try:
            return self._host.provision.for_worker(self._pool.name, worker, wants, owner)
        except NotProvided as error:
            raise LaunchError(str(error), hopeless=True) from None

    def _owner(self) -> Owner | None:
        """Of the files with secrets; None: the node's own user."""
        account = self._account()
        return None if account.uid == os.geteuid() else Owner(account.uid, account.gid)

    def _account(self) -> Account:
        try:
            return for_workers(self._pool.launch.user, self._host.settings.worker_user)
        except UnknownUser as error:
            raise LaunchError(f"{self._pool.launch.place}: {error}", hopeless=True) from None

    def _prepare(self, given: Given) -> Recipe:
        how, account = self._pool.launch, self._account()
        environment = self._environment(self._home(account), given.environment(dict(how.env)))
        command = Command(self._command(), how.cwd, environment, account.name)
        containment = self._contain(account, given, environment["PATH"])
        return prepare(
            command,
            containment.arguments,
            groups=self._keep_groups(_limits(containment)),
            memory_mib=containment.groups.memory_mib,
        )

    def _command(self) -> tuple[str, ...]:
        return command_of(self._pool, self._host.settings.limits.payload_max)

    def _home(self, account: Account) -> str | None:
        """None: that of the node, whose user it is."""
        return None if account.uid == os.geteuid() else account.home

    def _environment(self, home: str | None, extra: Mapping[str, str]) -> dict[str, str]:
        pool, host = self._pool, self._host
        inherited = dict(host.environ)
        if home is not None:
            inherited["HOME"] = home
        return worker_environment(
            inherited,
            node=host.settings.name,
            flow=pool.launch.flow,
            pool=pool.name,
            kind=pool.launch.kind,
            newline=pool.launch.newline,
            extra=extra,
        )

    def _contain(self, account: Account, given: Given, path: str) -> Containment:
        how, host = self._pool.launch, self._host
        keys, limits = how.contain, how.limits
        wanted = Wanted(
            no_new_privileges=keys.no_new_privileges,
            cgroup=keys.cgroup,
            private_tmp=keys.tmp == "private",
            read_only=keys.filesystem == "read-only",
            write=tuple(os.path.join(how.cwd, path) for path in keys.write),
            network=keys.network == "host",
            memory_mib=how.memory_mib,
            processes=limits.processes,
            cpu=limits.cpu,
            open_files=limits.open_files,
            file_size_mib=limits.file_size,
            core_mib=limits.core,
        )
        directories = directories_named((*self._command(), *how.argv), how.cwd)
        directories += directories_of_path(path)
        if how.kind == "mcp":
            directories += (MODULES,)
        if given.directory is not None:
            directories += (os.path.realpath(given.directory),)
        containment = contain(
            wanted,
            host.offers,
            account,
            directories=directories,
            groups_missing=host.groups.problems,
        )
        if self._containment is None:  # of each launch once, not for each worker
            for warning in containment.warnings:
                text = f"{how.place}: {warning}"
                host.shared.report("warning", "containment", pool=self._pool.name, text=text)
        self._containment = containment
        return containment

    def _keep_groups(self, limits: Limits) -> PoolGroups | None:
        if not self._pool.launch.contain.cgroup or not limits.controllers():
            return None
        slots = self._slots()
        try:
            if self._groups is None:
                self._groups = self._host.groups.pool(self._pool.name, slots, limits)
            elif (self._groups.slots, self._groups.limits) != (slots, limits):
                self._groups.update(slots, limits)
        except OSError as error:
            text = f"{self.command}: cannot make the control groups of the pool: {error}"
            raise LaunchError(text, hopeless=False) from error
        return self._groups

    def _slots(self) -> int:
        """How many processes there can be at a time, those that are kept ready included."""
        pool = self._pool
        if pool.mailbox.kind != "exec":
            return pool.workers + STAND_IN
        spare = pool.workers if pool.spare is None else pool.spare
        return min(EXEC_SLOTS_MAX, pool.workers + spare + ENDING)


def _limits(containment: Containment) -> Limits:
    kept = containment.groups
    return Limits(kept.memory_mib, kept.processes, kept.cpu)
