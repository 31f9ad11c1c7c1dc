"""Starts the node that the example leaves behind, or finds the one of an earlier run."""

import contextlib
import os
import pwd
import select
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import toolchain

from drop.client import Client

SOCKET_PATH_MAX = 107  # bytes; sun_path of a Unix socket address
START_S_MAX = 30
LOG_LINES_SHOWN = 12


class NodeFailed(Exception):
    """The node could not be started; the text is for people."""


def default_directory() -> Path:
    """examples/var, or a directory with a shorter name if its socket would not fit."""
    directory = toolchain.HERE / "var"
    if len(os.fsencode(directory / "drop.sock")) <= SOCKET_PATH_MAX:
        return directory
    return Path(tempfile.gettempdir()) / f"drop-example-{os.getuid()}"


def command(name: str) -> str:
    """A console script of this environment."""
    return str(Path(sys.executable).parent / name)


def worker_user() -> dict[str, str]:
    """For the node's environment: who its functions run as, where the default would not do.

    A node of root's runs them as `drop` or `nobody`, who may not be able to get to this tree, or to
    the interpreter: below /root, for one.
    """
    if os.geteuid() != 0 or "DROP_WORKER_USER" in os.environ:
        return {}
    name = "drop" if has_user("drop") else "nobody"
    trial = [sys.executable, "-I", "-S", "-c", "import os, sys; os.chdir(sys.argv[1])"]
    try:
        done = subprocess.run(
            [*trial, toolchain.HERE], user=name, group=pwd.getpwnam(name).pw_gid, extra_groups=[]
        )
        if done.returncode == 0:
            return {}
    except (OSError, KeyError):
        pass
    print(f"the user {name} cannot get to {toolchain.HERE} or {sys.executable}:")
    print("the functions run as root (DROP_WORKER_USER=root)")
    return {"DROP_WORKER_USER": "root"}


def has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


class Node:
    """A node with its files in `directory`, reached by the Unix socket there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.socket = self.directory / "drop.sock"
        self.address = f"unix:{self.socket}"
        self.log = self.directory / "node.log"

    def pid(self) -> int | None:
        """The process that listens on the socket, or None."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return None
            peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", peer)[0])

    def start(self, flow: Path) -> None:
        """Returns when the node says that it is ready. Raises NodeFailed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ready, ready_of_node = os.pipe()
        arguments: list[str | Path] = ["run", "--var-dir", self.directory, "--flow", flow]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [command("drop-node"), *arguments, "--ready-fd", str(ready_of_node)],
                env={**os.environ, **worker_user(), "PATH": toolchain.path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[ready_of_node],
                start_new_session=True,  # it stays when this script ends or is interrupted
            )
        os.close(ready_of_node)
        with open(ready, "rb") as pipe:
            in_time = select.select([pipe], [], [], START_S_MAX)[0]
            if in_time and pipe.readline() == b"ready\n":
                return
        if in_time:  # it is ending, and about to say why
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(START_S_MAX)
        process.terminate()
        what = f"ended with code {process.wait()}" if in_time else f"took over {START_S_MAX} s"
        raise NodeFailed(f"the node did not start, it {what}; {self.log} ends:\n{self._log_end()}")

    def restart_flow(self, flow: Path) -> None:
        """Gives the flow new workers: the old ones keep the totals of the data they have seen."""
        with Client(self.address) as client:
            client.control("flow.stop", name=flow.stem)  # not found: nothing to stop
            reply = client.control("flow.start", file=str(flow))
        if not reply["ok"]:
            raise NodeFailed(f"the node did not start {flow}: {reply['error']}")

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join(f"  {line}" for line in lines)
