"""A real `drop-node run` in a process of its own: started, watched and stopped by events."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
# Sanitizers are asked not to report what the interpreter itself never frees.
INHERITED = ("PATH", "HOME", "LANG", "PYTHONPATH", "PYTHONMALLOC", "LD_PRELOAD", "ASAN_OPTIONS")


class NodeFailed(AssertionError):
    """The node did not start or stop as it should; the text holds what it wrote."""


class RunningNode:
    """A node with a directory and a port of its own."""

    def __init__(
        self,
        var_dir: Path,
        port: int,
        flows: Sequence[str],
        environment: Mapping[str, str],
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        """`flows` are YAML texts; `environment` is added to the few variables that it inherits.

        `prefix` is a command that becomes the node elsewhere: `Namespace.prefix` of namespaces.py.
        """
        self.var_dir = var_dir
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.socket_address = f"unix:{var_dir / 'drop.sock'}"
        self.flow_files = [var_dir / f"flow-{number}.yaml" for number in range(len(flows))]
        self._flows = flows
        self._environment = environment
        self._prefix = list(prefix)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; a node that was never started has none."""
        assert self._process is not None, "start() the node first"
        return self._process

    @property
    def output(self) -> str:
        """What the node has written to stdout and stderr."""
        return (self.var_dir / "output").read_text(errors="replace")

    def start(self) -> None:
        """Runs the node and returns when it is ready; raises NodeFailed."""
        self.var_dir.mkdir(exist_ok=True)
        for file, text in zip(self.flow_files, self._flows, strict=True):
            file.write_text(text)
        ready, ready_of_node = os.pipe()
        with (self.var_dir / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(ready_of_node),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[ready_of_node],
                env=self._full_environment(),
                cwd=self.var_dir,
            )
        os.close(ready_of_node)
        try:
            self._wait_ready(ready)
        finally:
            os.close(ready)

    def stop(self) -> int:
        """SIGTERM, then the exit status; raises NodeFailed when it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            text = f"still running {STOP_SECONDS_MAX} s after SIGTERM:\n{self.output}"
            raise NodeFailed(text) from None

    def finish(self) -> None:
        """Stops a node that still runs and checks how it ended; a debug build reports leaks."""
        if self._process is None or self._process.poll() is not None:
            return
        status = self.stop()
        if status != 0:
            raise NodeFailed(f"exit status {status} after SIGTERM:\n{self.output}")

    def _command(self, ready_fd: int) -> list[str]:
        program = str(Path(sys.executable).with_name("drop-node"))
        command = [
            *self._prefix,
            program,
            "run",
            "--var-dir",
            str(self.var_dir),
            "--ready-fd",
            str(ready_fd),
        ]
        for file in self.flow_files:
            command += ["--flow", str(file)]
        return command

    def _full_environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        # The tests' own directory stands for the tree: the node runs elsewhere.
        if "PYTHONPATH" in inherited:
            parts = inherited["PYTHONPATH"].split(os.pathsep)
            inherited["PYTHONPATH"] = os.pathsep.join(str(Path(part).resolve()) for part in parts)
        own = {"DROP_LISTEN": self.address, "DROP_WORKER_USER": "root"}
        return inherited | own | dict(self._environment)

    def _wait_ready(self, ready: int) -> None:
        readable, _, _ = select.select([ready], [], [], START_SECONDS_MAX)
        if readable and os.read(ready, 64) == b"ready\n":
            return
        why = "it ended" if readable else f"not ready within {START_SECONDS_MAX} s"
        self.process.kill()
        status = self.process.wait()
        raise NodeFailed(f"the node did not start: {why}, exit status {status}:\n{self.output}")
