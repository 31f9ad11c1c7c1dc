"""Control groups of workers in containers: a bound for memory and processes, and who exceeded it.

One group for each worker, below one for the node, in v1 (in the hierarchies `memory` and `pids`) or
in v2. The kernel keeps a group as long as it has processes, so removing one is asked again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
INNER = "inner"  # what runc makes for itself inside of a worker's group
_MIB = 1 << 20
_CONTROLLERS = ("memory", "pids")


class Groups:
    """`problem` says why there are none; then nothing here may be used but `sweep`."""

    def __init__(self, owner: str, root: Path = ROOT) -> None:
        self._root = root
        self._parent = f"drop-images-{owner}"
        self.unified = (root / "cgroup.controllers").exists()
        self.problem = ""

    def open(self) -> None:
        """Removes what a node that was killed has left, and makes the node's own group."""
        self.sweep()
        try:
            for base in self._bases():
                (base / self._parent).mkdir(exist_ok=True)
            if self.unified:
                _delegate(self._root)
                _delegate(self._root / self._parent)
        except OSError as error:
            self.problem = f"{error.filename}: {error.strerror}"

    def make(self, name: str, memory_mib: int | None, processes: int) -> None:
        """Raises OSError."""
        for path in self._paths(name):
            path.mkdir()
        if self.unified:
            path = self._root / self._parent / name
            _write(path / "pids.max", processes)
            if memory_mib is not None:
                _write(path / "memory.max", memory_mib * _MIB)
                if (path / "memory.swap.max").exists():
                    _write(path / "memory.swap.max", 0)
            return
        memory, pids = self._paths(name)
        _write(pids / "pids.max", processes)
        if memory_mib is not None:
            _write(memory / "memory.limit_in_bytes", memory_mib * _MIB)
            swap = memory / "memory.memsw.limit_in_bytes"
            if swap.exists():
                _write(swap, memory_mib * _MIB)

    def entrances(self, name: str) -> list[str]:
        """The files that a process writes "0" to in order to enter."""
        return [str(path / "cgroup.procs") for path in self._paths(name)]

    def inner(self, name: str) -> str:
        """For a runtime that makes its group itself: below ours, as `cgroupsPath` wants it."""
        return f"/{self._parent}/{name}/{INNER}"

    def exceeded_memory(self, name: str, *, entered: bool) -> bool:
        """Whether the kernel has killed something in it for lack of memory.

        In v1 the innermost group alone counts that. Where a runtime has made and removed one of
        its own (not `entered`), what is left to see is that the limit was reached.
        """
        path = self._paths(name)[0]
        if self.unified:
            return _count(path / "memory.events", "oom_kill") > 0
        if entered:
            return _count(path / "memory.oom_control", "oom_kill") > 0
        used = _number(path / "memory.max_usage_in_bytes")
        return used >= _number(path / "memory.limit_in_bytes") > 0

    def remove(self, name: str) -> bool:
        """Whether it is gone; False: ask again when the last process has ended."""
        gone = [_remove(path) for path in self._all_paths(name)]
        return all(gone)

    def sweep(self) -> None:
        """Everything in it was started by a node that is no more: ended, and removed."""
        for base in self._hierarchies():
            parent = base / self._parent
            for path in parent.glob("*/") if parent.is_dir() else ():
                _kill(path)
                _remove(path)

    def close(self) -> None:
        for base in self._hierarchies():
            with suppress(OSError):
                (base / self._parent).rmdir()

    def _bases(self) -> list[Path]:
        return [self._root] if self.unified else [self._root / each for each in _CONTROLLERS]

    def _paths(self, name: str) -> list[Path]:
        return [base / self._parent / name for base in self._bases()]

    def _hierarchies(self) -> list[Path]:
        """runc makes a group in each of v1's, whatever it is asked to limit."""
        if self.unified:
            return [self._root]
        with suppress(OSError):
            return [path for path in self._root.iterdir() if path.is_dir()]
        return []

    def _all_paths(self, name: str) -> Iterator[Path]:
        for base in self._hierarchies():
            yield base / self._parent / name


def _delegate(path: Path) -> None:
    (path / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in _CONTROLLERS))


def _write(path: Path, value: int) -> None:
    path.write_text(str(value))


def _count(path: Path, name: str) -> int:
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            word, _, number = line.partition(" ")
            if word == name:
                return int(number)
    return 0


def _number(path: Path) -> int:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def _kill(path: Path) -> None:
    for procs in (path / "cgroup.procs", path / INNER / "cgroup.procs"):
        with suppress(OSError, ValueError):
            for pid in procs.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def _remove(path: Path) -> bool:
    for each in (path / INNER, path):
        try:
            each.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
