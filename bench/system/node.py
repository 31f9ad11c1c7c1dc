"""A real `drop-node run` with a directory and a port of its own, and every feature on."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drop.client import Client
from drop.cluster import keys

STOP_SECONDS_MAX = 60  # a thousand workers take a while to end


class NodeFailed(Exception):
    """The node did not start or end as it should; the text holds what it wrote."""


class Node:
    """Runs while it is a context. `functions` are entries of a flow's `func`, `environment` is
    added to our own; with a `key` it looks for other nodes."""

    def __init__(
        self,
        functions: Sequence[dict[str, object]] = (),
        environment: Mapping[str, str] | None = None,
        key: bytes | None = None,
    ) -> None:
        self._functions = functions
        self._environment = environment or {}
        self._key = key
        self._directory = tempfile.TemporaryDirectory(prefix="drop-bench-")
        self.var_dir = Path(self._directory.name)
        self.var_dir.chmod(0o711)  # root's workers are somebody else, and start in it
        self.address = ""  # TCP

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS_MAX)
            if status and error is None:
                raise NodeFailed(f"exit status {status} after SIGTERM:\n{self._output()}")
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise NodeFailed(f"still there {STOP_SECONDS_MAX} s after SIGTERM") from error
        finally:
            self._directory.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def workers(self) -> list[int]:
        """The process ids of all workers."""
        with self._client() as client:
            found = client.control("worker.list")["workers"]
        return [worker["pid"] for worker in found if worker["pid"]]

    def info(self) -> dict[str, Any]:
        with self._client() as client:
            return client.control("node.info")

    def beacons(self) -> dict[str, Any]:
        """What the node counts of packets of discovery."""
        with self._client() as client:
            found: dict[str, Any] = client.control("node.list")["beacons"]
        return found

    def known(self) -> int:
        """Other nodes that it lists as alive."""
        with self._client() as client:
            return sum(each["state"] == "alive" for each in client.control("node.list")["nodes"])

    def statistics(self) -> dict[str, Any]:
        with self._client() as client:
            return client.statistics()

    def _client(self) -> Client:
        return Client(f"unix:{self.var_dir / 'drop.sock'}")

    def _start(self) -> None:
        command = [sys.executable, "-m", "drop.cli.node", "run", "--var-dir", str(self.var_dir)]
        if self._functions:
            flow = self.var_dir / "bench.yaml"  # JSON is YAML
            flow.write_text(json.dumps({"name": "bench", "func": list(self._functions)}))
            command += ["--flow", str(flow)]
        if self._key is not None:
            keys.write_new(str(self.var_dir / "key"), self._key)
        ready, ready_of_node = os.pipe()
        with (self.var_dir / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--ready-fd", str(ready_of_node)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[ready_of_node],
                # A worker of the yardsticks may lie where no other user can get to.
                env={
                    **os.environ,
                    "DROP_LISTEN": "127.0.0.1:0",
                    "DROP_WORKER_USER": getpass.getuser(),
                    **self._environment,
                },
            )
        os.close(ready_of_node)
        with open(ready, "rb") as lines:
            if lines.read() != b"ready\n":
                self._process.kill()
                raise NodeFailed(
                    f"it did not start, exit status {self._process.wait()}:\n{self._output()}"
                )
        with self._client() as client:
            self.address = client.control("node.info")["listen"][-1]

    def _output(self) -> str:
        return (self.var_dir / "output").read_text(errors="replace")


def function(
    name: str, command: list[str], workers: int, inflight: int, **keys: object
) -> dict[str, object]:
    """An entry of `func`."""
    return {"name": name, "cmd": command, "num": workers, "inflight": inflight, **keys}
