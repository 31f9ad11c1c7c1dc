"""`drop key` as people run it: real commands, the file of a real node, an exchange of keys."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node_tools import ECHO, StartNode
from running_node import RunningNode

pytestmark = pytest.mark.system


def drop(node: RunningNode, *words: str, data: str = "") -> str:
    """What `drop key WORDS` prints, for this node's key file; all of it, for a check of secrets."""
    program = str(Path(sys.executable).with_name("drop"))
    done = subprocess.run(
        [program, "key", *words, "--var-dir", str(node.var_dir)],
        env={**os.environ, "DROP_ADDRESS": ""},
        input=data,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_from_the_first_key_to_the_next(start_node: StartNode, tmp_path: Path) -> None:
    node = start_node(ECHO)
    file = node.var_dir / "key"
    first = drop(node, "generate").split()[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    old = file.read_text().split()[1]
    line = drop(node, "generate", "--output", "-")
    new = line.split()[1]
    shown = [drop(node, "install", "-", data=line)]
    second = shown[0].split()[1]
    assert drop(node, "show") == f"{first}  signs, and is accepted\n{second}  is accepted\n"
    shown.append(drop(node, "rotate"))
    assert [each.split()[1] for each in file.read_text().splitlines()] == [new, old]
    shown.append(drop(node, "rotate", "--finish"))
    assert drop(node, "show") == f"{second}  signs, and is accepted\n"
    for each in (*shown, node.output):
        assert old not in each
        assert new not in each


@pytest.mark.parametrize(
    ("shell", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_goes_nowhere_is_an_error(tmp_path: Path, shell: str, reason: str) -> None:
    program = str(Path(sys.executable).with_name("drop"))
    command = [program, "key", "generate", "--output", str(tmp_path / "key")]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == f"drop: cannot read or write: {reason}\n"
    assert done.returncode == 1
