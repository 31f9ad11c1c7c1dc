"""The yardsticks: plain C programs that do a node's job with nothing but epoll and pipes.

They live outside this tree (DROP_ROOFLINE, else ../shared/roofline beside it) and bring a run.py
that builds and runs them. Without them our figures stand alone, and the functions under test are
our own.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.build import BUILD, ROOT, program
from bench.system.figures import Sample


class Roofline:
    """Runs a yardstick once. Latencies are in microseconds, rates in messages per second."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._directory: Path = module.build(BUILD / "roofline")

    def pipes(self, worker: str, workers: int, window: int, seconds: float) -> Sample:
        """One thread drives workers over pipes; no sockets."""
        return _numbers(self._module.drive(self._directory, worker, workers, window, seconds))

    def tcp(
        self, worker: str, workers: int, window: int, connections: int, depth: int, seconds: float
    ) -> Sample:
        """The same behind a TCP listener, with a load generator of its own."""
        return _numbers(
            self._module.serve(
                self._directory, worker, workers, window, connections, depth, seconds, free_port()
            )
        )

    def worker(self, name: str) -> list[str]:
        """The command of a function, for our node to run the very same."""
        first, *rest = self._module.command(name).split()
        if rest:  # an interpreter and a script
            return [first, *(str(self._directory / each) for each in rest)]
        return [str(self._directory / first)]


def _numbers(result: dict[str, Any]) -> Sample:
    """What a yardstick printed, without its label."""
    return {key: value for key, value in result.items() if not isinstance(value, str)}


def place() -> Path:
    """Where the yardsticks are expected."""
    return Path(os.environ.get("DROP_ROOFLINE") or ROOT.parent / "shared" / "roofline")


def find() -> Roofline | None:
    """The yardsticks, built; None where there are none."""
    script = place() / "run.py"
    if not script.exists():
        return None
    spec = importlib.util.spec_from_file_location("drop_roofline", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes_bytecode
    return Roofline(module)


def own_worker(name: str) -> list[str]:
    """The functions of bench/workers, by the yardsticks' names for theirs."""
    if name == "python":
        return ["python3", str(ROOT / "bench/workers/echo.py")]
    return [str(program("echo", ["bench/workers/echo.c"]))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
