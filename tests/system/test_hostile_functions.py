"""Functions that are broken in every way there is: what the caller is told, what the node's journal
and `flow info` say, and that another pool of the same node answers on as if nothing was.
"""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from drop.client import Client
from drop.errors import CallTimeout, FunctionError, NoWorker, TooLarge
from node_tools import (
    StartNode,
    alive,
    flow,
    hang,
    info,
    pids,
    processes,
    refused,
    shell,
    until,
)
from running_node import RunningNode
from system.dataplane import OBEDIENT, program
from system.victim import FLOW, Victim

pytestmark = pytest.mark.system

Function = dict[str, object]
ELF_MACHINE_68HC05 = 72  # an 8-bit processor: nobody has registered an emulator for it
MIB = 1 << 20


class Arena:
    """A node with a hostile function in the pool `hostile`, and a victim beside it."""

    def __init__(self, node: RunningNode, client: Client, victim: Victim) -> None:
        self.node = node
        self.client = client
        self.victim = victim

    @property
    def pool(self) -> dict[str, Any]:
        """What `drop flow info hostile` says of it."""
        pool: dict[str, Any] = info(self.client, "hostile")["pools"][0]
        return pool

    def call(self, message: bytes = b"misbehave") -> bytes:
        return self.client.call("hostile", message)

    def worker(self) -> int:
        """The process id of the only worker of the pool, once there is one."""

        def running() -> int | None:
            workers = [each for each in self.pool["workers"] if each["pid"]]
            return workers[0]["pid"] if workers else None

        pid: int = until(running)
        return pid

    def wait_told(self, event: str, text: str) -> str:
        """The first line of the journal about the pool with this event and text."""
        pattern = re.compile(rf"^\S+ \w+ {event} pool=hostile\b.*{text}.*$", re.MULTILINE)
        found: re.Match[str] = until(lambda: pattern.search(self.node.output))
        return found.group()


Enter = Callable[..., Arena]


@pytest.fixture
def enter(start_node: StartNode) -> Iterator[Enter]:
    """Starts a node with the function: `enter(function, **environment of the node)`."""
    with ExitStack() as stack:

        def start(function: Function, **environment: str) -> Arena:
            node = start_node(FLOW, flow("hostile", function), **environment)
            client = stack.enter_context(Client(node.socket_address))
            return Arena(node, client, stack.enter_context(Victim(node.socket_address)))

        yield start


def misbehaving(behaviour: str, *arguments: str, **keys: object) -> Function:
    return {"name": "hostile", "cmd": program("hostile", behaviour, *arguments), **keys}


def obedient(**keys: object) -> Function:
    return {"name": "hostile", "cmd": OBEDIENT, **keys}


# --- what cannot be started ---


def elf(machine: int) -> bytes:
    """The header of an executable for some processor, as far as the kernel looks at it."""
    identification = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    executable, version, header_bytes = 2, 1, 64
    return identification + struct.pack(
        "<HHIQQQIHHHHHH",
        *(executable, machine, version, 0x400000, header_bytes, 0, 0),
        *(header_bytes, 56, 0, 0, 0, 0),
    )


UNSTARTABLE = {
    "absent": (None, 0, errno.ENOENT, "there is no {path}"),
    "not executable": (b"#!/bin/sh\ncat\n", 0o644, errno.EACCES, "chmod +x {path}"),
    "a directory": (None, 0o755, errno.EACCES, "{path} is a directory"),
    "another processor": (
        elf(ELF_MACHINE_68HC05),
        0o755,
        errno.ENOEXEC,
        "it was built for another kind of processor",
    ),
    "half a header": (
        elf(ELF_MACHINE_68HC05)[:20],
        0o755,
        errno.ENOEXEC,
        "it was built for another",
    ),
    "Windows line ends": (
        b"#!/bin/sh\r\ncat\r\n",
        0o755,
        errno.ENOENT,
        r"its first line asks for /bin/sh\r, which does not exist",
    ),
    "a missing interpreter": (
        b"#!/no/such/interpreter -x\n",
        0o755,
        errno.ENOENT,
        "its first line asks for /no/such/interpreter, which does not exist",
    ),
    "no interpreter": (b"cat\n", 0o755, errno.ENOEXEC, "a script needs a first line that names"),
    "empty": (b"", 0o755, errno.ENOEXEC, "the file is empty"),
}


@pytest.mark.parametrize("case", UNSTARTABLE)
def test_a_program_that_cannot_be_started(enter: Enter, tmp_path: Path, case: str) -> None:
    content, mode, number, advice = UNSTARTABLE[case]
    path = tmp_path / "program"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    elif mode:
        path.mkdir(mode)
    arena = enter({"name": "hostile", "cmd": [str(path), "argument"]})
    with pytest.raises(NoWorker) as told:
        arena.call()
    name, reason = errno.errorcode[number], advice.format(path=path)
    for text in (str(told.value), arena.pool["last_error"]):
        assert f"{path} argument" in text
        assert f"({name}); {reason}" in text
    assert (arena.pool["state"], info(arena.client, "hostile")["state"]) == ("failing", "failing")
    arena.wait_told("spawn_failed", name)
    arena.wait_told("breaker_open", name)  # at once: a retry cannot help
    assert arena.node.output.count("spawn_failed") == 1


# --- what starts and does not live ---


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("exit 7", "exit code 7"),
        ("exit 0", "exit code 0"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("no-such-command", "exit code 127"),
        ("echo garbage; exec cat", "wrote to stdout without being asked"),
        ("printf garbage; exec cat", "wrote to stdout without being asked"),
        ("exec cat /dev/zero", "wrote to stdout without being asked"),
        ("exec yes", "wrote to stdout without being asked"),
    ],
)
def test_a_program_that_does_not_get_as_far_as_a_message(
    enter: Enter, script: str, text: str
) -> None:
    arena = enter(shell("hostile", script))
    arena.wait_told("worker_ended", text)
    arena.wait_told("breaker_open", text)  # after which a call is refused at once
    refusal = until(lambda: refused(arena.client, "hostile"))
    assert text in refusal
    assert "hostile.log" in refusal
    assert text in arena.pool["last_error"]
    assert arena.pool["state"] == "failing"


# --- what breaks the contract over a message ---


def test_a_worker_that_answers_twice(enter: Enter) -> None:
    """The first answer counts; the second one ends the worker and reaches nobody."""
    arena = enter(obedient())
    first = arena.worker()
    assert arena.call(b"twice") == b"first"
    line = arena.wait_told("worker_ended", "wrote to stdout without being asked")
    assert f"pid={first} " in line
    assert "answered 1, unanswered 0" in line
    assert [arena.call(b"%d" % number) for number in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert arena.worker() != first
    assert arena.pool["workers"][0]["restarts"] == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (obedient(timeout=300), b"half"),
        (misbehaving("stop", timeout=300), b"misbehave"),
        (obedient(timeout=300), b"deaf"),
        (shell("hostile", "read m; while :; do sleep 1000; done", timeout=300), b"x"),
    ],
    ids=["half an answer", "stops itself", "closes its stdin", "no answer"],
)
def test_a_worker_that_never_answers(enter: Enter, function: Function, message: bytes) -> None:
    arena = enter(function)
    first = arena.worker()
    with pytest.raises(CallTimeout, match="the function's timeout passed; its worker was killed"):
        arena.call(message)
    line = arena.wait_told("worker_ended", "did not answer within its timeout")
    assert f"pid={first} " in line
    assert "killed by SIGKILL" in line
    assert "answered 0, unanswered 1" in line
    assert not alive(first)
    assert arena.worker() != first
    assert "did not answer within its timeout" in arena.pool["last_error"]


def test_a_worker_that_stops_itself_and_is_not_asked_can_be_stopped(
    enter: Enter, tmp_path: Path
) -> None:
    """A stopped process does not see SIGTERM; SIGKILL it cannot put off."""
    begun = tmp_path / "begun"
    arena = enter(shell("hostile", f"touch {begun}; kill -STOP $$; exec cat"))
    until(begun.exists)
    pid = arena.worker()
    assert arena.client.control("flow.stop", name="hostile")["ok"]
    assert not alive(pid)
    assert f"pid={pid}" in arena.wait_told("worker_ended", "killed by SIGKILL")


def test_a_worker_that_closes_its_stdout_and_goes_on(enter: Enter) -> None:
    arena = enter(obedient())
    first = arena.worker()
    with pytest.raises(FunctionError, match="the worker closed its stdout before it answered"):
        arena.call(b"end")
    line = arena.wait_told("worker_ended", "closed its stdout and went on")
    assert f"pid={first} " in line
    assert arena.call(b"next") == b"next"
    assert not alive(first)


def test_a_worker_that_closes_its_stdin_and_goes_on(enter: Enter) -> None:
    """What it did not take goes to its successor, so the caller does not even notice."""
    arena = enter(shell("hostile", "read m; exec <&-; echo $m; while :; do sleep 1000; done"))
    first = arena.worker()
    assert [arena.call(b"%d" % number) for number in range(3)] == [b"0", b"1", b"2"]
    line = arena.wait_told("worker_ended", "closed its stdin and went on")
    assert f"pid={first} " in line
    assert "killed by SIGKILL" in line
    assert not alive(first)


def test_a_worker_that_ignores_sigterm_and_the_end_of_its_input(enter: Enter) -> None:
    arena = enter(misbehaving("stubborn"))
    pid = arena.worker()
    assert arena.call(b"x") == b"x"
    assert arena.client.control("flow.stop", name="hostile")["ok"]
    assert not alive(pid)
    assert f"pid={pid}" in arena.wait_told("worker_ended", "killed by SIGKILL")
    arena.victim.check_undisturbed()


def test_children_that_are_left_in_the_group_end_with_the_worker(enter: Enter, marked: str) -> None:
    arena = enter(misbehaving("children", marked, timeout=300))
    assert arena.call() == b"done"
    first = arena.worker()  # has the mark as well
    children = [pid for pid in processes(marked) if pid != first]
    assert len(children) == 2
    assert arena.client.control("flow.stop", name="hostile")["ok"]
    until(lambda: not any(alive(pid) for pid in [first, *children]))


def test_children_that_hold_the_pipes_of_a_dead_worker(
    enter: Enter, tmp_path: Path, marked: str
) -> None:
    """There is no end of file to see; its end is known all the same."""
    script = tmp_path / "script"  # so that only the children have the mark
    script.write_text(f"read m; {hang(marked)} & kill -9 $$")
    arena = enter({"name": "hostile", "cmd": ["sh", str(script)]})
    first = arena.worker()
    with pytest.raises(FunctionError, match="the worker ended before it answered"):
        arena.call()
    assert f"pid={first} " in arena.wait_told("worker_ended", "killed by SIGKILL")
    until(lambda: not processes(marked))


# --- what uses up what others need ---


def memory_peak(node: RunningNode) -> int:
    """The most that the node has ever had in memory, in bytes."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_a_gib_without_a_newline_on_stdout(enter: Enter) -> None:
    """It is read no further than the largest answer there may be."""
    arena = enter(misbehaving("flood-stdout"), DROP_LIMITS_PAYLOAD_MAX="4 MiB")
    first = arena.worker()
    before = memory_peak(arena.node)
    with pytest.raises(TooLarge, match="the worker's answer is larger than the node's payload_max"):
        arena.call()
    line = arena.wait_told("worker_ended", "wrote an answer that is too large")
    assert f"pid={first} " in line
    assert memory_peak(arena.node) - before < 32 * MIB
    assert arena.call(b"next") == b"next"
    assert "wrote an answer that is too large" in arena.pool["last_error"]


def test_a_gib_without_a_newline_on_stderr(enter: Enter) -> None:
    """It is a log: the function is none the worse for it, and neither are the disk and the node."""
    arena = enter(misbehaving("flood-stderr", timeout=100_000), DROP_LOGS_FILE_BYTES_MAX="1 MiB")
    first, before = arena.worker(), memory_peak(arena.node)
    assert arena.client.call("hostile", b"misbehave", timeout=100.0) == b"done"
    assert arena.worker() == first
    log = Path(arena.pool["log"])
    kept = sum(path.stat().st_size for path in log.parent.glob("hostile.log*"))
    assert 0 < kept < 8 * MIB
    assert memory_peak(arena.node) - before < 32 * MIB


def test_a_worker_that_opens_a_million_files(enter: Enter) -> None:
    """It is stopped by its own limit; the node's and the other workers' are not touched."""
    arena = enter(misbehaving("files"))
    count, reason = arena.call().split()
    assert reason == b"EMFILE"
    assert int(count) < 1_000_000
    with Client(arena.node.address) as another:
        assert another.call("hostile", b"next") == b"next"
    assert len(pids(arena.client)) == 3
