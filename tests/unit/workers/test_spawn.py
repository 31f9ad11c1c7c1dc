"""drop._fast.spawn with real programs: what the child gets, what a failure tells the caller."""

import ctypes
import errno
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop._fast.spawn import SpawnError, spawn

ENVIRONMENT = [b"PATH=/usr/bin:/bin"]
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")


@pytest.fixture
def null() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_RDWR)
    yield fd
    os.close(fd)


def run(*argv: str, null: int, **options: object) -> tuple[bytes, int]:
    """The program's output and exit code."""
    reading, writing = os.pipe()
    arguments: dict[str, object] = {"env": ENVIRONMENT, "cwd": None} | options
    pid, pidfd = spawn(
        [argument.encode() for argument in argv],
        stdin=null,
        stdout=writing,
        stderr=writing,
        **arguments,  # type: ignore[arg-type]
    )
    os.close(writing)
    with open(reading, "rb") as output:
        text = output.read()
    os.close(pidfd)
    return text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_environment_directory_and_exit_code(null: int, tmp_path: Path) -> None:
    script = "echo $MARK $(pwd); exit 7"
    environment = [*ENVIRONMENT, b"MARK=here"]
    output, code = run("sh", "-c", script, null=null, env=environment, cwd=os.fsencode(tmp_path))
    assert output == b"here %s\n" % os.fsencode(tmp_path)
    assert code == 7


def test_only_the_environment_that_was_given(null: int) -> None:
    output, _ = run("env", null=null, env=[*ENVIRONMENT, b"ONE=1"])
    assert output == b"PATH=/usr/bin:/bin\nONE=1\n"


def test_own_session_and_process_group(null: int) -> None:
    output, _ = run("sh", "-c", "ps -o pid=,pgid=,sid= -p $$", null=null)
    pid, group, session = output.split()
    assert pid == group == session


def test_inheritable_descriptors_are_closed(null: int) -> None:
    extra = os.dup(null)
    os.set_inheritable(extra, True)
    try:
        output, _ = run("ls", "/proc/self/fd", null=null)
    finally:
        os.close(extra)
    assert output.split() == [b"0", b"1", b"2", b"3"]  # 3: the directory that ls reads


def test_ignored_signals_are_not_inherited(null: int) -> None:
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN  # Python's own doing
    output, _ = run("grep", "-E", "SigIgn|SigBlk", "/proc/self/status", null=null)
    assert {line.split()[1] for line in output.splitlines()} == {b"0" * 16}


def test_relative_entry_of_path_is_relative_to_the_worker(null: int, tmp_path: Path) -> None:
    tool = tmp_path / "tools" / "greet"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho hello\n")
    tool.chmod(0o755)
    output, _ = run("greet", null=null, env=[b"PATH=/usr/bin:tools"], cwd=os.fsencode(tmp_path))
    assert output == b"hello\n"


@pytest.mark.parametrize(
    ("argv", "cwd", "number", "step"),
    [
        (b"no-such-program", None, errno.ENOENT, "cannot find the program in PATH"),
        (b"./no-such-program", None, errno.ENOENT, "cannot execute"),
        (b"/etc/passwd", None, errno.EACCES, "cannot execute"),
        (b"/etc", None, errno.EACCES, "cannot execute"),
        (b"true", b"/no/such/directory", errno.ENOENT, "cannot enter the directory"),
        (b"true", b"/etc/passwd", errno.ENOTDIR, "cannot enter the directory"),
    ],
)
def test_failures_name_the_step(
    argv: bytes, cwd: bytes | None, number: int, step: str, null: int
) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SpawnError) as caught:
        spawn([argv], env=ENVIRONMENT, cwd=cwd, stdin=null, stdout=null, stderr=null)
    assert caught.value.errno == number
    assert caught.value.strerror == f"{step}: {os.strerror(number)}"
    assert caught.value.filename == argv
    assert os.listdir("/proc/self/fd") == before


def test_closed_stream_is_reported(null: int) -> None:
    with pytest.raises(SpawnError, match="stdin, stdout and stderr: Bad file descriptor"):
        spawn([b"true"], env=ENVIRONMENT, cwd=None, stdin=null, stdout=-1, stderr=null)


def test_what_c_cannot_take_is_refused(null: int) -> None:
    with pytest.raises(ValueError, match="argv is empty"):
        spawn([], env=[], cwd=None, stdin=null, stdout=null, stderr=null)
    with pytest.raises(ValueError, match="NUL"):
        spawn([b"true\0x"], env=[], cwd=None, stdin=null, stdout=null, stderr=null)
    text: list[bytes] = ["A=1"]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="bytes expected, not str"):
        spawn([b"true"], env=text, cwd=None, stdin=null, stdout=null, stderr=null)
    with pytest.raises(ValueError, match="uid"):
        spawn([b"true"], env=[], cwd=None, stdin=null, stdout=null, stderr=null, uid=-5)


@needs_root
def test_other_user_without_supplementary_groups(null: int) -> None:
    output, _ = run("sh", "-c", "id -u; id -g; id -G", null=null, uid=NOBODY, gid=NOBODY)
    assert output.split() == [b"65534"] * 3


@needs_root
def test_changing_the_user_leaves_this_process_dumpable(null: int) -> None:
    """The child borrows this process's memory while it changes its user; see spawner.c."""
    get_dumpable = 3  # PR_GET_DUMPABLE
    libc = ctypes.CDLL(None)
    assert libc.prctl(get_dumpable, 0, 0, 0, 0) == 1
    run("true", null=null, uid=NOBODY, gid=NOBODY)
    assert libc.prctl(get_dumpable, 0, 0, 0, 0) == 1


@needs_root
def test_directory_is_entered_as_the_worker(null: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(SpawnError, match="cannot enter the directory: Permission denied"):
        run("true", null=null, cwd=os.fsencode(tmp_path), uid=NOBODY, gid=NOBODY)


def test_the_end_of_the_spawning_thread_kills(null: int) -> None:
    """PDEATHSIG belongs to the thread: the reason why a node spawns from one that stays."""
    started: list[tuple[int, int]] = []

    def start() -> None:
        started.append(
            spawn(
                [b"sleep", b"60"], env=ENVIRONMENT, cwd=None, stdin=null, stdout=null, stderr=null
            )
        )

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    pid, pidfd = started[0]
    os.close(pidfd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_several_threads_at_once(null: int) -> None:
    """Each thread has a child in its own memory at times; none may disturb another's."""
    outputs: list[bytes] = []

    def start(number: int) -> None:
        for _ in range(10):
            outputs.append(run("echo", str(number), null=null)[0])

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outputs) == sorted(b"%d\n" % number for number in range(8) for _ in range(10))
