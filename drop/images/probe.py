"""A container of nothing: its files are the machine's own programs, mounted where they belong.

To see whether a runtime works here, and to have crun compile a filter of system calls. All of it
lies in one directory, which is gone afterwards. For a thread of its own.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from drop.images import oci
from drop.images.account import NOBODY, Account
from drop.images.bundle import remove_tree
from drop.images.commands import Commands, Done
from drop.images.container import Container, Limits
from drop.images.groups import Groups
from drop.images.launcher import RUNTIME_PATH, Runtime, runtime_argv
from drop.images.seccomp import Filter
from drop.images.settings import Settings, Volume

SECONDS = 20.0
MEMORY_MIB = 64
PROCESSES = 64
DIRECTORIES = ("/bin", "/lib", "/lib64", "/usr")
NAME = "probe"
FILTER_BYTES = 8  # of one instruction
FILTER_BYTES_MAX = 4096 * FILTER_BYTES  # the kernel's own limit, BPF_MAXINSNS


class Probe:
    def __init__(
        self, runtime: Runtime, directory: Path, groups: Groups, commands: Commands
    ) -> None:
        self._runtime = runtime
        self._directory = directory
        self._groups = groups
        self._commands = commands

    def problem_now(self) -> str:
        """What is wrong with the runtime; empty when it works."""
        groups, limited = self._groups, not self._groups.problem
        try:
            if limited:
                groups.make(NAME, MEMORY_MIB, PROCESSES)
            inner = groups.inner(NAME) if limited and not self._runtime.enters_groups else None
            entered = groups.entrances(NAME) if limited and self._runtime.enters_groups else ()
            self._write(None, inner)
            done = self._run(self._argv(entered))
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        finally:
            groups.remove(NAME)
            remove_tree(self._directory)
        return done.complaint if done.code else ""

    def compile_now(self, filter: Filter) -> str | None:
        """The filter as crun would load it, in base64; None when it does not show it.

        crun keeps it beside the state of a container that has been created and not started. This
        one dies with the namespace in which it was created, and leaves its state to be read.
        """
        state = self._directory / "state"
        try:
            self._write(filter, None)
            state.mkdir(mode=0o700)
            argv = [*self._argv(())]
            argv[argv.index("--root") + 1] = str(state)
            argv[argv.index("run")] = "create"
            if self._run(argv).code:
                return None
            compiled = (state / NAME / "seccomp.bpf").read_bytes()
        except OSError:
            return None
        finally:
            remove_tree(self._directory)
        if not 0 < len(compiled) <= FILTER_BYTES_MAX or len(compiled) % FILTER_BYTES:
            return None
        return base64.b64encode(compiled).decode()

    def _write(self, filter: Filter | None, cgroup: str | None) -> None:
        remove_tree(self._directory)
        for name in ("rootfs", "bundle", "scratch"):
            (self._directory / name).mkdir(parents=True)
        (self._directory / "rootfs").chmod(0o755)  # whatever our umask: nobody has to enter it
        document = oci.config(
            _nothing(),
            root=str(self._directory / "scratch" / "root"),
            env={"PATH": "/usr/bin:/bin"},
            hostname=NAME,
            seccomp=filter,
            cgroup=cgroup,
        )
        (self._directory / "bundle" / "config.json").write_text(json.dumps(document))

    def _argv(self, entered: tuple[str, ...] | list[str]) -> tuple[str, ...]:
        return runtime_argv(
            self._runtime,
            name=NAME,
            bundle=str(self._directory / "bundle"),
            scratch=str(self._directory / "scratch"),
            lower=str(self._directory / "rootfs"),
            writable_mib=MEMORY_MIB,
            groups=entered,
        )

    def _run(self, argv: tuple[str, ...] | list[str]) -> Done:
        return self._commands.run_now(argv, env={"PATH": RUNTIME_PATH}, seconds=SECONDS)


def _nothing() -> Container:
    own = tuple(Volume(path, path, read_only=True) for path in DIRECTORIES if os.path.isdir(path))
    return Container(
        command=("true",),
        env=(),
        account=Account(NOBODY, NOBODY),
        workdir="/",
        network="none",
        limits=Limits(memory_mib=MEMORY_MIB),
        settings=Settings(volumes=own),
    )
