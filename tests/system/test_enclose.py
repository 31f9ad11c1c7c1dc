"""`drop-enclose` alone: what it runs ends with it, and what is mounted is seen by nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from drop.images.runtime import enclose_path
from node_tools import processes, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces without users are root's"),
    pytest.mark.skipif(not enclose_path().exists(), reason="not built: build_ext.py drop-enclose"),
]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch, with: odd\ncharacters"
    path.mkdir()
    return path


def command(scratch: Path, *program: str, lower: Path | None = None) -> list[str]:
    options = ["-s", str(scratch), "-z", "1", *(["-l", str(lower)] if lower else [])]
    return [str(enclose_path()), *options, *program]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=30)


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("sh -c 'kill -9 $$'; exit $?", 137)]
)
def test_it_ends_as_its_program_does(scratch: Path, script: str, code: int) -> None:
    assert run(command(scratch, "/bin/sh", "-c", script)).returncode == code


def test_the_program_is_the_first_of_its_processes(scratch: Path) -> None:
    done = run(command(scratch, "/bin/sh", "-c", "echo $$; ls -d /proc/[0-9]*"))
    assert done.stdout.split() == ["1", "/proc/1"]


def test_what_is_mounted_is_its_own(scratch: Path, tmp_path: Path) -> None:
    lower = tmp_path / "lower, too: odd"
    lower.mkdir()
    (lower / "kept").write_text("below")
    script = "cat root/kept; echo above > root/kept; cat root/kept; ls; touch root/new"
    done = run(command(scratch, "/bin/sh", "-c", script, lower=lower))
    assert done.stdout == "belowabove\nlower\nroot\nstate\nupper\nwork\n"
    assert (lower / "kept").read_text() == "below"
    assert [path.name for path in lower.iterdir()] == ["kept"]
    assert list(scratch.iterdir()) == []


def test_what_is_written_is_bounded(scratch: Path) -> None:
    done = run(command(scratch, "/bin/sh", "-c", "head -c 2000000 /dev/zero > big"))
    assert "No space left" in done.stderr
    script = "i=0; while touch f$i; do i=$((i+1)); done; echo $i"
    assert int(run(command(scratch, "/bin/sh", "-c", script)).stdout) < 1024


def test_it_ends_when_the_one_that_started_it_kills_it(scratch: Path, marked: str) -> None:
    script = f"setsid sh -c 'trap \"\" TERM HUP; sleep 1000; :' {marked} & echo up; wait"
    process = start(command(scratch, "/bin/sh", "-c", script, marked))
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.kill()
    until(lambda: not processes(marked))
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_there_is_a_container_ends_it(
    scratch: Path, number: signal.Signals
) -> None:
    process = start(command(scratch, "/bin/sh", "-c", "echo up; sleep 1000"))
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    assert process.wait(30) == -number
    process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "-s DIR and -z MIB are needed"),
        (["-s", "/nowhere", "-z", "1"], "a program is needed"),
        (["-s", "/nowhere", "-z", "x", "/bin/true"], "-s DIR and -z MIB are needed"),
        (["-s", "/nowhere", "-z", "1", "/bin/true"], "cannot mount a tmpfs at /nowhere: No such"),
        (["-q", "/bin/true"], "unknown option"),
        (["-u", "/nowhere", "-s", "/tmp", "-z", "1", "/bin/true"], "cannot unmount /nowhere"),
        (["-g", "/nowhere/x", "-s", "/tmp", "-z", "1", "/bin/true"], "cannot enter the control"),
        (["-l", "/nowhere", "-s", "/tmp", "-z", "1", "/bin/true"], "cannot look at /nowhere"),
        (["-s", "/tmp", "-z", "1", "/bin/no-such-program"], "cannot execute /bin/no-such"),
    ],
)
def test_what_goes_wrong_is_said(arguments: list[str], said: str) -> None:
    done = run([str(enclose_path()), *arguments])
    assert said in done.stderr
    assert done.returncode == 125


def test_control_groups_are_entered_by_the_program_alone(scratch: Path, tmp_path: Path) -> None:
    group = tmp_path / "cgroup.procs"
    group.touch()
    done = run([str(enclose_path()), "-g", str(group), *command(scratch, "/bin/true")[1:]])
    assert done.returncode == 0
    assert group.read_text() == "0"
