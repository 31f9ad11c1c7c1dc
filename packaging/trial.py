"""Tries an installation: starts its node, calls a function by its command line, stops the node.

    python trial.py BIN      BIN is the directory with drop and drop-node

Prints what it saw; the exit status is 0 when all of it was right. Needs nothing but CPython, so
that the installation's own can run it, as any user, with an empty environment.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS_MAX = 60
FLOW = """\
name: trial
func:
  - name: echo
    cmd: cat
"""


def main() -> int:
    """The command."""
    programs = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="drop-trial-") as name:
        directory = Path(name)
        flow = directory / "trial.yaml"
        flow.write_text(FLOW)
        environment = {"DROP_LISTEN": "127.0.0.1:0", "PATH": "/usr/bin:/bin"}
        if os.geteuid() == 0:
            environment["DROP_WORKER_USER"] = "root"
        ready, ready_of_node = os.pipe()
        options = ["--var-dir", name, "--ready-fd", str(ready_of_node), "--flow", str(flow)]
        node = subprocess.Popen(
            [str(programs / "drop-node"), "run", *options],
            stdin=subprocess.DEVNULL,
            pass_fds=[ready_of_node],
            env=environment,
            cwd=name,
        )
        os.close(ready_of_node)
        try:
            return call(programs, directory, ready)
        finally:
            node.send_signal(signal.SIGTERM)
            status = node.wait(SECONDS_MAX)
            print(f"node: exit status {status}")


def call(programs: Path, directory: Path, ready: int) -> int:
    """One message through the node, once it is ready."""
    readable, _, _ = select.select([ready], [], [], SECONDS_MAX)
    if not readable or os.read(ready, 64) != b"ready\n":
        print("trial: the node did not become ready", file=sys.stderr)
        return 1
    command = [str(programs / "drop"), "call", "echo", "hello from the tree"]
    environment = {"DROP_ADDRESS": f"unix:{directory / 'drop.sock'}"}
    done = subprocess.run(
        command, env=environment, cwd=directory, stdout=subprocess.PIPE, timeout=SECONDS_MAX
    )
    print(f"call: exit status {done.returncode}, {done.stdout!r}")
    return 0 if (done.returncode, done.stdout.strip()) == (0, b"hello from the tree") else 1


if __name__ == "__main__":
    sys.exit(main())
