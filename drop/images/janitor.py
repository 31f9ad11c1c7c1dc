"""Removes the containers of a node that has died: a program of its own, for podman and docker only.

    python janitor.py LABEL ENGINE [ARGUMENT]... ::: COMMAND-THAT-REMOVES [ARGUMENT]...

A container that an engine has started is nobody's child: it does not end with the node, nor with
the `podman run` that the node has started. The node holds the other end of this program's stdin, so
the end of file says that the node is gone, however it went. What has the label is removed then.

Needs the standard library alone. A node that starts again removes the same containers, should this
program have been killed too.
"""

from __future__ import annotations

import subprocess
import sys
import time

BETWEEN = ":::"
ROUNDS = 20  # a container can be halfway into life when the node dies
PAUSE_SECONDS = 0.25
QUIET_ROUNDS = 2
SECONDS_MAX = 60


def main(label: str, engine: list[str], remove: list[str]) -> None:
    sys.stdin.buffer.read()
    quiet = 0
    for _ in range(ROUNDS):
        found = _found(label, engine)
        if found:
            _ask([*remove, *found])
        quiet = 0 if found else quiet + 1
        if quiet == QUIET_ROUNDS:
            return
        time.sleep(PAUSE_SECONDS)


def _found(label: str, engine: list[str]) -> list[str]:
    return _ask([*engine, "ps", "--all", "--quiet", "--filter", f"label={label}"]).split()


def _ask(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_MAX,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    middle = sys.argv.index(BETWEEN)
    main(sys.argv[1], sys.argv[2:middle], sys.argv[middle + 1 :])
