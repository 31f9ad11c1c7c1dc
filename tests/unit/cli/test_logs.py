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
2026-11-24T03:40:01.123456Z echo/1[7] - started
2026-11-24T03:40:02.123456Z echo/1[7] 00000000000000ab failed: x
2026-11-24T03:40:03.123456Z echo/2[8] - failed: y
"""


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], [0, 1, 2]),
        (["-n", "1"], [2]),
        (["--lines", "0"], []),
        (["--grep", "fail.*x"], [1]),
        (["--since", "2026-11-24T03:40:02"], [1, 2]),
        (["--call", "ab"], [1]),
        (["--call", "0xAB", "--grep", "y"], []),
        (["--worker", "1"], [0, 1]),
        (["--worker", "2", "--since", "2026-11-24"], [2]),
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
        "call": None,
        "text": "failed: y",
    }
    assert drop("logs", "echo", "--directory", str(tmp_path), "--json", "--call", "ab") == 0
    assert json.loads(capfd.readouterr().out)["call"] == "00000000000000ab"


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """The logs of three pools; a call goes through two of them."""
    (tmp_path / "a.log").write_text(LOG.replace("echo", "a"))
    (tmp_path / "b.log").write_text(
        "2026-11-24T03:40:01.500000Z b/1[9] - hello\n"
        "2026-11-24T03:40:02.500000Z b/1[9] 00000000000000ab got it\n"
    )
    (tmp_path / "other.log").write_text("2026-11-24T03:40:00.000000Z other/1[3] - alone\n")
    return tmp_path


def pools_of(text: str) -> list[str]:
    return [line.split(" ")[1].split("/")[0] for line in text.splitlines()]


def test_call_is_followed_through_all_pools(
    drop: Run, capfd: pytest.CaptureFixture[str], several: Path
) -> None:
    assert drop("logs", "--call", "ab", "--directory", str(several)) == 0
    shown = capfd.readouterr().out.splitlines()
    assert [line.split(" ", 3)[3] for line in shown] == ["failed: x", "got it"]


@pytest.mark.parametrize(
    ("words", "pools"),
    [
        ([], ["other", "a", "b", "a", "b", "a"]),
        (["-n", "2"], ["b", "a"]),
        (["?"], ["a", "b", "a", "b", "a"]),
        (["o*"], ["other"]),
        (["--flow", "f"], ["a", "a", "a"]),
        (["a", "--flow", "f"], ["a", "a", "a"]),
        (["b*", "--flow", "f"], []),
    ],
)
def test_logs_of_several_pools(
    drop: Run,
    capfd: pytest.CaptureFixture[str],
    several: Path,
    words: list[str],
    pools: list[str],
) -> None:
    assert drop("logs", *words, "--directory", str(several)) == 0
    assert pools_of(capfd.readouterr().out) == pools


def test_nothing_matches(drop: Run, capfd: pytest.CaptureFixture[str], several: Path) -> None:
    assert drop("logs", "x*", "--directory", str(several)) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    assert f"no pool like x* has logged anything in {several}" in captured.err
    assert "there are logs of a, b, other" in captured.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--call", "xyz"], "--call 'xyz' is no call's id; expected 1 to 16 hexadecimal digits"),
        (["--worker", "-1"], "--worker -1: expected a worker's number"),
        (["--lines", "-1"], "--lines -1: expected 0 or more"),
        (["--grep", "("], "--grep '(': "),
        (["--since", "soon"], "--since 'soon' is no time"),
        (["--directory", "/no/such"], "--directory /no/such: expected the directory of"),
        (["a b", "--directory", "/"], "'a b' is not a pool's name"),
    ],
)
def test_what_cannot_be(
    drop: Run, capfd: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    assert drop("logs", *words) == 2
    assert text in capfd.readouterr().err


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


@pytest.mark.parametrize("pool", ["later", "lat*"])
def test_logs_follow_what_does_not_exist_yet(start: Start, tmp_path: Path, pool: str) -> None:
    process = start("logs", pool, "-f", "--directory", str(tmp_path))
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"has logged" in process.stderr.readline()
    (tmp_path / "later.log").write_text(LOG.replace("echo", "later"))
    assert b"started" in process.stdout.readline()
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
