"""Workers as real processes: pipes, groups that die as a whole, and failures in words."""

import asyncio
import contextlib
import os
import resource
import select
import signal
from pathlib import Path

import pytest

from drop.workers.environment import PATH, worker_environment
from drop.workers.process import Command, Exit, LaunchError, Process, launch

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def shell(script: str) -> Command:
    return Command(("sh", "-c", script), None, ENVIRONMENT)


def wait_until_ended(process: Process) -> None:
    ready, _, _ = select.select([process.pidfd], [], [], 30)
    assert ready


def failure(*argv: str, cwd: str | None = None) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        launch(Command(argv, cwd, ENVIRONMENT))
    return caught.value


def test_three_pipes() -> None:
    process = launch(shell("read line; echo answer to $line; echo a log line >&2; exit 3"))
    stdin, stdout = process.take_pipes()
    os.write(stdin, b"question\n")
    os.close(stdin)
    with open(stdout, "rb") as answers, open(process.take_stderr(), "rb") as log:
        assert answers.read() == b"answer to question\n"
        assert log.read() == b"a log line\n"
    wait_until_ended(process)
    assert process.reap() == Exit(code=3)


def test_stdin_ends_when_we_close_it() -> None:
    process = launch(Command(("cat",), None, ENVIRONMENT))
    stdin, stdout = process.take_pipes()
    os.close(stdin)
    wait_until_ended(process)
    assert os.read(stdout, 1) == b""
    os.close(stdout)
    assert process.reap().clean


def test_reap_closes_what_was_not_taken() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    process = launch(shell("exit 0"))
    wait_until_ended(process)
    process.reap()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_failed_launch_leaves_nothing_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    failure("no-such-program")
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_killed_process_says_by_what() -> None:
    process = launch(shell("kill -KILL $$"))
    wait_until_ended(process)
    ended = process.reap()
    assert ended == Exit(signal=signal.SIGKILL)
    assert str(ended) == "killed by SIGKILL"
    assert not ended.clean


def test_children_die_with_the_leader() -> None:
    """The leader ends at once; its child would sleep on with our pipe open."""
    process = launch(shell("sleep 60 & echo $!"))
    stdin, stdout = process.take_pipes()
    wait_until_ended(process)
    assert process.reap().clean
    with open(stdout, "rb") as output:
        assert output.read().strip().isdigit()  # to its end: nobody holds the pipe any more
    os.close(stdin)


def test_group_that_ignores_sigterm_dies_by_sigkill() -> None:
    process = launch(
        shell("trap '' TERM; (trap '' TERM; sleep 60) & echo up; wait; wait; sleep 60")
    )
    stdin, stdout = process.take_pipes()
    assert os.read(stdout, 3) == b"up\n"
    process.signal_group(kill=False)
    assert not select.select([process.pidfd], [], [], 0.05)[0]
    process.signal_group(kill=True)
    wait_until_ended(process)
    assert process.reap() == Exit(signal=signal.SIGKILL)
    assert os.read(stdout, 1) == b""
    os.close(stdin)
    os.close(stdout)


def test_nothing_is_signalled_after_reaping() -> None:
    """The number may be another process's by then; here it is made to be, by an own group."""
    process = launch(shell("exit 0"))
    wait_until_ended(process)
    process.reap()
    process.pid = os.getpgrp()
    handled: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: handled.append(number))
    try:
        process.signal_group(kill=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not handled


def test_status_taken_by_somebody_else() -> None:
    process = launch(shell("exit 0"))
    os.waitpid(process.pid, 0)
    assert str(process.reap()) == "ended, and somebody else took its exit code"


async def test_pidfd_wakes_an_event_loop() -> None:
    process = launch(Command(("cat",), None, ENVIRONMENT))
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Exit] = loop.create_future()

    def on_end() -> None:
        loop.remove_reader(process.pidfd)
        ended.set_result(process.reap())

    loop.add_reader(process.pidfd, on_end)
    process.signal_group(kill=False)
    assert await asyncio.wait_for(ended, 30) == Exit(signal=signal.SIGTERM)


def test_program_that_is_not_in_path() -> None:
    error = failure("no-such-program", "-x", cwd="/")
    assert error.hopeless
    assert str(error) == (
        "no-such-program -x (in /): cannot find the program in PATH: No such file or directory "
        "(ENOENT); no no-such-program in PATH=/usr/bin:/bin; install it, or write its path"
    )


def write_program(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("exit 0\n", 0o755, "(ENOEXEC); a script needs a first line that names its interpreter"),
        ("", 0o755, "(ENOEXEC); the file is empty"),
        ("#!/no/such/sh\n", 0o755, "(ENOENT); its first line asks for /no/such/sh, which does not"),
        ("#!/bin/sh\r\n", 0o755, "(ENOENT); its first line asks for /bin/sh\\r, which does not"),
        ("\x7fELF garbage", 0o755, "(ENOEXEC); it was built for another kind of processor"),
        ("#!/bin/sh\n", 0o644, "(EACCES); chmod +x "),
    ],
)
def test_file_that_cannot_be_executed(text: str, mode: int, expected: str, tmp_path: Path) -> None:
    error = failure(write_program(tmp_path / "program", text, mode))
    assert expected in str(error)
    assert error.hopeless


def test_directory_that_does_not_exist() -> None:
    error = failure("true", cwd="/no/such/directory")
    assert "cannot enter the directory: No such file or directory (ENOENT)" in str(error)
    assert "create the directory, or change cwd" in str(error)


def test_nul_byte_in_an_argument() -> None:
    error = failure("echo", "a\0b")
    assert "NUL" in str(error)
    assert error.hopeless


def test_missing_descriptors_pass() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        error = failure("true")
    assert "EMFILE" in str(error)
    assert not error.hopeless


def test_environment_is_what_the_design_grants() -> None:
    inherited = {"PATH": "/opt/bin", "HOME": "/root", "TZ": "UTC", "SECRET": "x", "LC_ALL": "C"}
    extra = {"MODE": "fast", "TZ": "CET", "DROP_POOL": "forged"}
    made = worker_environment(
        inherited,
        node="n1",
        flow="news",
        pool="words",
        kind="line",
        newline="refuse",
        extra=extra,
    )
    assert made == {
        "PATH": "/opt/bin",
        "HOME": "/root",
        "TZ": "CET",
        "MODE": "fast",
        "DROP_NODE": "n1",
        "DROP_FLOW": "news",
        "DROP_POOL": "words",
        "DROP_KIND": "line",
    }


def test_environment_without_path_gets_one() -> None:
    names = {"node": "n", "flow": "f", "pool": "p", "kind": "async", "newline": "ncm"}
    made = worker_environment({}, **names, extra={})
    assert (made["PATH"], made["DROP_NEWLINE"]) == (PATH, "ncm")
