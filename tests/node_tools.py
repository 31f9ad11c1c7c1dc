"""What tests of a running node share: flows, processes, and what they ask the node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drop.client import Client
from drop.errors import FunctionError, NoWorker
from drop.host.cgroup_tree import node_group
from running_node import RunningNode

StartNode = Callable[..., RunningNode]

ECHO = """
name: echo
func:
  - name: echo
    cmd: cat
    num: 2
    inflight: 16
"""


def flow(name: str, *functions: dict[str, object]) -> str:
    """A flow with a line for each key; what is in a line is JSON, which is YAML too.

    Tests share files in /tmp with their functions, so those see the one that there is.
    """
    lines = [f"name: {name}", "func:"]
    for function in functions:
        keys = {**function, "contain": function.get("contain", {"tmp": "shared"})}
        first, *rest = (f"{key}: {json.dumps(value)}" for key, value in keys.items())
        lines += [f"  - {first}", *(f"    {key}" for key in rest)]
    return "\n".join(lines) + "\n"


def shell(name: str, script: str, **keys: object) -> dict[str, object]:
    return {"name": name, "cmd": ["sh", "-c", script], **keys}


def cat(name: str, **keys: object) -> dict[str, object]:
    return {"name": name, "cmd": ["cat"], **keys}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`drop-node` that is expected to end by itself."""
    program = str(Path(sys.executable).with_name("drop-node"))
    return subprocess.run(
        [program, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def info(client: Client, name: str) -> dict[str, Any]:
    reply = client.control("flow.info", name=name)
    assert reply["ok"], reply
    return reply


def pids(client: Client) -> list[int]:
    workers = client.control("worker.list")["workers"]
    return [worker["pid"] for worker in workers if worker["pid"]]


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What a node does by itself has no event that a test could wait for: it is asked again."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it does not come to this"
        threading.Event().wait(0.01)
    return result


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def refused(client: Client, pool: str) -> str:
    """The text of `no_worker`; empty while a worker takes the message, even if it dies over it."""
    try:
        client.call(pool, b"x")
    except NoWorker as error:
        return str(error)
    except FunctionError:
        pass
    return ""


def groups_of(client: Client) -> Callable[[], set[str]]:
    """What asks for the names of the control groups that a node has now, also when it has ended."""
    node = client.control("node.info")
    name = node_group(node["name"], node["var_dir"])
    tree = Path("/sys/fs/cgroup")
    return lambda: {each.name for each in (*tree.glob(f"**/{name}"), *tree.glob(f"**/{name}/*/"))}


def hang(mark: str) -> str:
    """A shell command that never ends, as two processes of which one has the mark."""
    return f"sh -c 'sleep 1000; :' {mark}"


def processes(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in command and b"drop-node" not in command:
                found.append(int(entry.name))
    return found
