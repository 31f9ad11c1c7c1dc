"""`drop logs` on log files as the node writes them."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., int]
Start = Callable[..., subprocess.Popen[bytes]]


LOG = """\
2026-11-24T03:40:01.123456Z echo/1[7] started
2026-11-24T03:40:02.123456Z echo/1[7] failed: x
2026-11-24T03:40:03.123456Z echo/2[8] failed: y
"""


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], [0, 1, 2]),
        (["-n", "1"], [2]),
        (["--lines", "0"], []),
        (["--grep", "fail.*x"], [1]),
        (["--since", "2026-11-24T03:40:02"], [1, 2]),
    ],
)
def test_logs(
    drop: Run,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: list[str],
    lines: list[int],
) -> None:
    (tmp_path / "echo.log").write_text(LOG)
    assert drop("logs", "echo", "--directory", str(tmp_path), *words) == 0
    expected = LOG.splitlines()
    assert capfd.readouterr().out.splitlines() == [expected[number] for number in lines]


def test_logs_as_json(drop: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "echo.log").write_text(LOG)
    assert drop("logs", "echo", "--directory", str(tmp_path), "--json", "-n", "1") == 0
    assert json.loads(capfd.readouterr().out) == {
        "time": "2026-11-24T03:40:03.123456Z",
        "pool": "echo",
        "worker": 2,
        "pid": 8,
        "text": "failed: y",
    }


def test_logs_follow(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "echo.log"
    log.write_text(LOG)
    process = start("logs", "echo", "-f", "-n", "1", "--directory", str(tmp_path))
    assert process.stdout is not None
    assert b"failed: y" in process.stdout.readline()
    with log.open("a") as file:
        file.write("2026-11-24T03:40:04.000000Z echo/2[8] new\n")
    assert b"new" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_logs_end_cleanly_when_nobody_reads(start: Start, tmp_path: Path) -> None:
    (tmp_path / "echo.log").write_text(LOG * 10_000)
    process = start("logs", "echo", "-n", "30000", "--directory", str(tmp_path))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_an_unknown_pool_has_no_logs(drop: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert drop("logs", "other") == 0
    assert "has logged nothing in /" in capfd.readouterr().err
