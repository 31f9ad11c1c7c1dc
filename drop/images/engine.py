"""podman or docker: which one is here, how it must be called on this machine, what it is asked.

An engine finds images and unpacks them; workers of most functions never see it. podman is taken
where both are installed: it needs no daemon.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from drop.images.commands import Commands, Done
from drop.images.faults import ImageError
from drop.images.image_config import ImageConfig, from_inspection

Kind = Literal["podman", "docker"]

ASK_SECONDS = 30.0
PULL_SECONDS = 1800.0
INSTALL = "apt-get install podman, or dnf install podman"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What podman needs on a machine whose kernel or rights lack something, tried in this order until
# `podman info` works. The store follows from the driver, so the machine's own one goes first.
_STORES: tuple[tuple[str, ...], ...] = ((), ("--storage-driver", "vfs"))

_INHERITED = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "DBUS_SESSION_BUS_ADDRESS")
_INHERITED_PREFIXES = ("XDG_", "DOCKER_", "CONTAINER_", "CONTAINERS_", "STORAGE_", "REGISTRY_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Engine:
    kind: Kind
    argv: tuple[str, ...]
    """The program and the options that it needs here."""
    version: str

    @property
    def remove(self) -> tuple[str, ...]:
        """Ends and removes the containers named behind it. podman would wait ten seconds for each
        to end by itself; here that has been tried before."""
        patience = ("--time", "0") if self.kind == "podman" else ()
        return (*self.argv, "rm", "--force", *patience)

    def __str__(self) -> str:
        return f"{self.kind} {self.version} ({shlex.join(self.argv)})"


def engine_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What an engine gets of the node's own environment: where its store and its daemon are."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in (*_INHERITED, *_PROXIES) or name.startswith(_INHERITED_PREFIXES)
    }
    return {"PATH": SYSTEM_PATH} | kept


def program(name: str, environ: Mapping[str, str]) -> str | None:
    """Where it is; the directories for administrators count even when PATH lacks them."""
    return shutil.which(name, path=f"{environ.get('PATH', '')}:{SYSTEM_PATH}")


async def find_engine(wanted: str, commands: Commands, environ: Mapping[str, str]) -> Engine:
    """`wanted`: auto, podman, docker, or a command line. Raises ImageError."""
    names = ["podman", "docker"] if wanted == "auto" else [wanted]
    problems = []
    for name in names:
        argv = shlex.split(name)
        path = program(argv[0], environ)
        if path is None:
            problems.append(f"{argv[0]} is not installed")
            continue
        found = await _try([path, *argv[1:]], commands, environ)
        if isinstance(found, Engine):
            return found
        problems.append(f"{argv[0]}: {found}")
    if wanted == "auto" and all(each.endswith("is not installed") for each in problems):
        raise ImageError(f"images need podman or docker, and neither is installed: {INSTALL}")
    raise ImageError(
        f"images need podman or docker, and there is none that works: {'; '.join(problems)}"
    )


async def _try(argv: Sequence[str], commands: Commands, environ: Mapping[str, str]) -> Engine | str:
    """The engine, or why it does not work."""
    environment = engine_environment(environ)
    if PurePath(argv[0]).name.startswith("docker"):
        ask = [*argv, "version", "--format", "{{.Server.Version}}"]
        done = await commands.run(ask, env=environment, seconds=ASK_SECONDS)
        return done.complaint if done.code else Engine("docker", (*argv,), done.stdout.strip())
    problem = ""
    for flags in _STORES if len(argv) == 1 else ((),):
        ask = [*argv, *flags, "info", "--format", "{{.Version.Version}}"]
        done = await commands.run(ask, env=environment, seconds=ASK_SECONDS)
        if done.code == 0:
            return Engine("podman", (*argv, *flags), done.stdout.strip())
        problem = problem or done.complaint
    return problem


class EngineCalls:
    """What an engine is asked to do; every answer that is a failure is raised as ImageError."""

    def __init__(self, engine: Engine, commands: Commands, environ: Mapping[str, str]) -> None:
        self.engine = engine
        self.environment = engine_environment(environ)
        self._commands = commands

    async def look_up(self, name: str, pull: str) -> ImageConfig:
        """The image of that name; fetched from a registry only when `pull` says so."""
        done = await self._ask("image", "inspect", name)
        if pull in ("always", "newer") or (pull == "missing" and done.code):
            await self._pull(name, pull)
            done = await self._ask("image", "inspect", name)
        if done.code:
            raise self._missing(name, done)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = None
        return from_inspection(document, name)

    def create_now(self, image: str, label: str) -> str:
        """A container that never runs, to read the image's files from; returns its id."""
        # An image without a command of its own refuses to be created; this one is never executed.
        done = self.now("create", "--label", label, "--network", "none", image, "drop-reads-files")
        if done.code:
            raise ImageError(f"image {image}: {self.engine.kind} cannot open it: {done.complaint}")
        return done.stdout.split()[-1]

    def remove_now(self, container: str) -> None:
        """Also when it runs, and without complaint when it is gone."""
        self._commands.run_now(
            [*self.engine.remove, container], env=self.environment, seconds=ASK_SECONDS
        )

    def left_over_now(self, label: str) -> list[str]:
        """The containers with this label, running or not."""
        return self.now("ps", "--all", "--quiet", "--filter", f"label={label}").stdout.split()

    def now(self, *arguments: str, seconds: float = ASK_SECONDS) -> Done:
        """For a thread of its own."""
        argv = [*self.engine.argv, *arguments]
        return self._commands.run_now(argv, env=self.environment, seconds=seconds)

    async def _pull(self, name: str, pull: str) -> None:
        policy = ["--policy", "newer"] if pull == "newer" and self.engine.kind == "podman" else []
        done = await self._ask("pull", "--quiet", *policy, name, seconds=PULL_SECONDS)
        if done.code:
            raise ImageError(f"image {name}: {self.engine.kind} cannot pull it: {done.complaint}")

    def _missing(self, name: str, done: Done) -> ImageError:
        kind = self.engine.kind
        said = done.complaint.lower()
        if not any(words in said for words in ("no such", "not known", "not found", "unknown")):
            return ImageError(f"image {name}: {kind} cannot look at it: {done.complaint}")
        return ImageError(
            f"image {name} is not on this machine: {kind} pull {name}, {kind} build -t {name}"
            f" DIRECTORY, or write --pull=missing in front of its name"
        )

    async def _ask(self, *arguments: str, seconds: float = ASK_SECONDS) -> Done:
        argv = [*self.engine.argv, *arguments]
        return await self._commands.run(argv, env=self.environment, seconds=seconds)
