"""The logger against workers that write too much, without an end, or nonsense, and a disk that is
full: real processes, a real file system; what is missing in the log is counted."""

import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop._fast.logger import Logger, give_back
from drop.workers.logline import LogLine, parse_line
from drop.workers.logs import read_log

REPORT = re.compile(r"\[(\d+) lines cut: more than (\d+) (lines|bytes) a second\]")


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[Logger]:
    """A running one for 100 lines a second; stopped again when a test has not done so."""
    made = Logger(str(tmp_path / "logs"), rate_lines=100)
    made.start()
    yield made
    made.stop()


def run(logger: Logger, *command: str, pool: str = "pool") -> subprocess.Popen[bytes]:
    """A worker whose stdout stands for its stderr."""
    reading, writing = os.pipe()
    process = subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    give_back(logger.add(pool, 1, process.pid, reading))
    return process


def lines_of(directory: Path, pool: str = "pool") -> list[LogLine]:
    found = [parse_line(line) for line in read_log(str(directory), pool)]
    assert None not in found
    return [line for line in found if line is not None]


def cut_in(lines: list[LogLine]) -> int:
    """What the reports in a log add up to."""
    return sum(int(match[1]) for line in lines if (match := REPORT.fullmatch(line.text)))


def test_what_is_over_the_rate_is_cut_and_counted(logger: Logger, tmp_path: Path) -> None:
    process = run(logger, sys.executable, "-ISc", "for n in range(200_000): print('line', n)")
    assert process.wait() == 0  # it was not held up for ever
    logger.stop()
    lines = lines_of(tmp_path / "logs")
    texts = [line.text for line in lines if not REPORT.fullmatch(line.text)]
    assert texts[:100] == [f"line {n}" for n in range(100)]
    assert len(texts) + cut_in(lines) == 200_000
    assert logger.statistics()["cut"] == cut_in(lines)
    assert logger.statistics()["lost"] == 0


def test_flood_of_one_worker_leaves_the_others_lines(logger: Logger, tmp_path: Path) -> None:
    flood = run(logger, "yes", "x" * 80, pool="flood")
    pause = threading.Event()
    try:
        reading, writing = os.pipe()
        give_back(logger.add("quiet", 1, 1, reading))
        for number in range(50):
            os.write(writing, b"line %d\n" % number)
            directory = str(tmp_path / "logs")
            shown = read_log(directory, "quiet", wait=lambda: not pause.wait(0.001))
            assert any(line.endswith(b" - line %d" % number) for line in shown)
        while not logger.statistics()["cut"]:
            pause.wait(0.001)
    finally:
        flood.kill()
        flood.wait()
    os.close(writing)
    logger.stop()
    assert len(lines_of(tmp_path / "logs", "quiet")) == 50
    flooded = lines_of(tmp_path / "logs", "flood")
    assert cut_in(flooded) == logger.statistics()["cut"]


def test_report_comes_when_the_worker_has_fallen_silent(logger: Logger, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    give_back(logger.add("pool", 1, 1, reading))
    os.write(writing, b"\n" * 1000)
    pause = threading.Event()
    shown = read_log(str(tmp_path / "logs"), "pool", wait=lambda: not pause.wait(0.01))
    assert next(line for line in shown if b"cut" in line).endswith(
        b"pool/1[1] - [900 lines cut: more than 100 lines a second]"
    )
    os.close(writing)
    logger.stop()


@pytest.mark.parametrize("mebibytes", [32, pytest.param(1024, marks=pytest.mark.big)])
def test_no_newline_at_all(logger: Logger, tmp_path: Path, mebibytes: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process = run(logger, "sh", "-c", f"head -c {mebibytes << 20} /dev/zero | tr '\\0' x")
    assert process.wait() == 0
    logger.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB
    lines = lines_of(tmp_path / "logs")
    texts = [line.text for line in lines if not REPORT.fullmatch(line.text)]
    assert {text.removesuffix(" [continues]").strip("x") for text in texts} == {""}
    seconds = 2 + mebibytes // 16
    assert sum(map(len, texts)) < 100 * 256 * seconds + 100 * 16400
    match = REPORT.fullmatch(lines[-1].text)
    assert match is not None
    assert (match[2], match[3]) == ("25600", "bytes")


def test_nonsense_is_whole_lines_and_harmless(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path), rate_lines=0)
    logger.start()
    process = run(logger, "head", "-c", "1000000", "/dev/urandom")
    assert process.wait() == 0
    logger.stop()
    content = (tmp_path / "pool.log").read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", content)
    original = b"".join(
        re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), line)
        for line in content.split(b"\n")
    )
    assert len(original) > 900_000
    assert logger.statistics()["lost"] == 0


def test_escape_sequences_do_not_reach_a_terminal(logger: Logger, tmp_path: Path) -> None:
    assert run(logger, "printf", r"\033]0;title\007\033[2J\r\303\251\377\n").wait() == 0
    logger.stop()
    line = next(read_log(str(tmp_path / "logs"), "pool"))
    assert line.endswith(b" - \\x1b]0;title\\x07\\x1b[2J\\x0d\xc3\xa9\xff")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(where)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_full_disk_loses_counts_and_goes_on_afterwards(small_disk: Path) -> None:
    logger = Logger(str(small_disk / "logs"), rate_lines=0)
    logger.start()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (64 << 10))
    program = "for n in range(20_000): print('line', n)"
    assert run(logger, sys.executable, "-ISc", program).wait() == 0
    pause = threading.Event()
    while logger.statistics()["sources"]:
        pause.wait(0.001)
    lost = logger.statistics()["lost"]
    assert lost > 10_000
    ballast.unlink()
    assert run(logger, "echo", "fine again").wait() == 0
    logger.stop()
    lines = lines_of(small_disk / "logs")
    texts = [line.text for line in lines]
    told = [match for text in texts if (match := re.fullmatch(r"\[(\d+) lines lost: (.*)\]", text))]
    assert sum(int(match[1]) for match in told) == lost == logger.statistics()["lost"]
    assert {match[2] for match in told} == {"No space left on device"}
    assert len(texts) - len(told) + lost == 20_001
    assert texts[-1] == "fine again"
