"""The logger's thread with real pipes, processes and files; what it wrote is read from the disk."""

import errno
import gc
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop._fast.logger import Logger, file_name, give_back, pool_name
from drop.workers.logline import parse_line
from drop.workers.logs import read_log

LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (\S+)/(\d+)\[(\d+)\] - (.*)")
WRITER = "import sys; [print(sys.argv[1], n, 'x' * (n % 50)) for n in range(int(sys.argv[2]))]"


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[Logger]:
    """A running one; stopped again when a test has not done so."""
    made = Logger(str(tmp_path / "logs"))
    made.start()
    yield made
    made.stop()


def texts(directory: Path, pool: str = "pool") -> list[bytes]:
    """What stands behind the prefix of each line, rotated files included."""
    found = []
    for line in read_log(str(directory), pool):
        match = LINE.fullmatch(line)
        assert match, line
        found.append(match[4])
    return found


def write_in_one(logger: Logger, *chunks: bytes, pool: str = "pool") -> None:
    """A pipe that gets the chunks, one write each, and ends."""
    reading, writing = os.pipe()
    give_back(logger.add(pool, 1, os.getpid(), reading))
    for chunk in chunks:
        os.write(writing, chunk)
    os.close(writing)


def start_writer(
    logger: Logger, worker: int, lines: int, pool: str = "pool"
) -> subprocess.Popen[bytes]:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-ISc", WRITER, str(worker), str(lines)], stdout=writing
    )
    os.close(writing)
    give_back(logger.add(pool, worker, process.pid, reading))
    return process


def test_line_has_time_pool_worker_and_pid(logger: Logger, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    give_back(logger.add("news/words:2", 17, 4711, reading))
    os.write(writing, b"it works\n")
    os.close(writing)
    logger.stop()
    content = (tmp_path / "logs" / "news+words=2.log").read_bytes()
    line = parse_line(content.removesuffix(b"\n"))
    assert line is not None
    assert (line.pool, line.worker, line.pid, line.text) == ("news/words:2", 17, 4711, "it works")


def test_every_byte_by_itself(logger: Logger, tmp_path: Path) -> None:
    text = b"one\n\ntwo\r\n\x00\x1b[1m\ttab\nlast"
    write_in_one(logger, *(text[at : at + 1] for at in range(len(text))))
    logger.stop()
    assert texts(tmp_path / "logs") == [b"one", b"", b"two\\x0d", b"\\x00\\x1b[1m\ttab", b"last"]


def test_long_lines_are_split_and_nothing_of_them_is_lost(logger: Logger, tmp_path: Path) -> None:
    line = bytes(ord("a") + at % 26 for at in range(40_000))
    reading, writing = os.pipe()
    give_back(logger.add("pool", 1, 1, reading))
    with open(writing, "wb") as pipe:
        pipe.write(line[:16384] + b"\n" + line + b"\n" + line)
    logger.stop()
    found = texts(tmp_path / "logs")
    assert found[0] == line[:16384]
    mark = b" [continues]"
    assert [text.endswith(mark) for text in found[1:]] == [True, True, False, True, True, False]
    assert b"".join(text.removesuffix(mark) for text in found[1:4]) == line
    assert b"".join(text.removesuffix(mark) for text in found[4:]) == line
    assert logger.statistics()["truncated"] == 4


def test_worker_that_is_killed_in_the_middle_of_a_line(logger: Logger, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(["sh", "-c", "printf 'half a'; kill -KILL $$"], stdout=writing)
    os.close(writing)
    give_back(logger.add("pool", 1, process.pid, reading))
    assert process.wait() == -signal.SIGKILL
    logger.stop()
    assert texts(tmp_path / "logs") == [b"half a"]


def test_workers_of_a_pool_share_a_file_line_by_line(logger: Logger, tmp_path: Path) -> None:
    processes = [start_writer(logger, worker, 3000) for worker in range(1, 5)]
    assert [process.wait() for process in processes] == [0] * 4
    logger.stop()
    assert_complete(list(read_log(str(tmp_path / "logs"), "pool")), workers=4, lines=3000)
    assert logger.statistics() | {"bytes": 0} == {
        "lines": 12000, "bytes": 0, "lost": 0, "cut": 0, "rotations": 0, "write_errors": 0,
        "truncated": 0, "sources": 0,
    }  # fmt: skip


def assert_complete(log: list[bytes], workers: int, lines: int) -> None:
    """Each line of each worker once, in its order."""
    by_worker: dict[int, list[bytes]] = {}
    for line in log:
        match = LINE.fullmatch(line)
        assert match, line
        by_worker.setdefault(int(match[2]), []).append(match[4])
    for worker in range(1, workers + 1):
        expected = [b"%d %d %s" % (worker, n, b"x" * (n % 50)) for n in range(lines)]
        assert by_worker.pop(worker) == expected
    assert not by_worker


def test_rotation_under_load_loses_no_line(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path), file_bytes_max=16 << 10, files=500)
    logger.start()
    processes = [start_writer(logger, worker, 10_000) for worker in range(1, 4)]
    assert [process.wait() for process in processes] == [0] * 3
    logger.stop()
    files = sorted(tmp_path.iterdir())
    assert len(files) == logger.statistics()["rotations"] + 1 > 50
    assert all(file.stat().st_size <= 16 << 10 for file in files)
    assert all(file.read_bytes().endswith(b"\n") for file in files)
    assert_complete(list(read_log(str(tmp_path), "pool")), workers=3, lines=10_000)


def test_follower_sees_each_line_once_across_rotations(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path), file_bytes_max=64 << 10, files=40)
    logger.start()
    ended = threading.Event()
    seen: list[bytes] = []

    def follow() -> None:
        last_look = iter([True])

        def wait() -> bool:
            return not ended.wait(0.002) or next(last_look, False)

        seen.extend(read_log(str(tmp_path), "pool", wait=wait))

    follower = threading.Thread(target=follow)
    follower.start()
    processes = [start_writer(logger, worker, 10_000) for worker in range(1, 4)]
    assert [process.wait() for process in processes] == [0] * 3
    logger.stop()
    ended.set()
    follower.join()
    assert logger.statistics()["rotations"] > 10
    assert_complete(seen, workers=3, lines=10_000)


def test_oldest_file_goes_when_there_are_too_many(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path), file_bytes_max=4096, files=3)
    logger.start()
    process = start_writer(logger, 1, 2000)
    assert process.wait() == 0
    logger.stop()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pool.log",
        "pool.log.1",
        "pool.log.2",
    ]
    assert texts(tmp_path)[-1].startswith(b"1 1999 ")


def test_flood_does_not_hold_up_other_pools(logger: Logger, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    flood = subprocess.Popen(["yes", "flood " * 10], stdout=writing)
    os.close(writing)
    give_back(logger.add("flood", 1, flood.pid, reading))
    try:
        asking, answering = os.pipe()
        give_back(logger.add("quiet", 1, 1, asking))
        passing = threading.Event()
        for number in range(20):
            os.write(answering, b"line %d\n" % number)
            lines = read_log(str(tmp_path / "logs"), "quiet", wait=lambda: not passing.wait(0.001))
            assert any(line.endswith(b" line %d" % number) for line in lines)
    finally:
        flood.kill()
        flood.wait()
    os.close(answering)
    logger.stop()
    assert logger.statistics()["lost"] == 0


def test_stop_does_not_wait_for_a_worker_that_goes_on_writing(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path))
    logger.start()
    reading, writing = os.pipe()
    flood = subprocess.Popen(["yes"], stdout=writing, stderr=subprocess.DEVNULL)
    os.close(writing)
    give_back(logger.add("pool", 1, flood.pid, reading))
    logger.stop()
    assert flood.wait() != 0  # its pipe is closed
    assert logger.statistics()["sources"] == 0


def test_stop_drains_the_pipes(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path))
    write_in_one(logger, b"before the start\n")
    reading, writing = os.pipe()
    give_back(logger.add("pool", 2, 1, reading))
    os.write(writing, b"from one that lives\n")
    logger.start()
    logger.stop()
    os.close(writing)
    assert sorted(texts(tmp_path)) == [b"before the start", b"from one that lives"]


def test_disk_that_is_full_stops_no_worker_and_is_reported(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same partial write, another errno."""
    logger = Logger(str(tmp_path))
    logger.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        process = start_writer(logger, 1, 5000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        assert process.wait() == 0
        write_in_one(logger, b"another\n" * 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    reading, writing = os.pipe()
    give_back(logger.add("pool", 1, 1, reading))
    os.write(writing, b"fine again\n")
    os.close(writing)
    logger.stop()
    log = list(read_log(str(tmp_path), "pool"))
    lost = logger.statistics()["lost"]
    reports = [match for line in log if (match := re.search(rb"\[(\d+) lines lost: (.*)\]", line))]
    assert {match[2] for match in reports} <= {b"File too large"}
    assert sum(int(match[1]) for match in reports) == lost
    assert len(log) - len(reports) + lost == 5004
    assert any(line.endswith(b" fine again") for line in log)
    assert lost > 0


def test_loss_of_a_silent_pool_is_reported_once_the_disk_works(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path))
    logger.start()
    (tmp_path / "pool.log").mkdir()
    write_in_one(logger, b"lost\n")
    pause = threading.Event()
    while logger.statistics()["sources"]:
        pause.wait(0.001)
    (tmp_path / "pool.log").rmdir()
    report = next(read_log(str(tmp_path), "pool", wait=lambda: not pause.wait(0.01)))
    assert report.endswith(b"] - [1 lines lost: Is a directory]")
    logger.stop()


def test_reopen_follows_the_name(logger: Logger, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "pool.log"
    reading, writing = os.pipe()
    give_back(logger.add("pool", 1, 1, reading))
    os.write(writing, b"old\n")
    pause = threading.Event()
    while not log.exists() or not log.read_bytes():
        pause.wait(0.001)
    log.rename(tmp_path / "moved")
    logger.reopen()
    while not log.exists():
        pause.wait(0.001)
    os.write(writing, b"new\n")
    os.close(writing)
    logger.stop()
    assert (tmp_path / "moved").read_bytes().endswith(b" old\n")
    assert log.read_bytes().endswith(b" new\n")


def test_files_are_not_for_everybody(logger: Logger, tmp_path: Path) -> None:
    write_in_one(logger, b"secret\n")
    logger.stop()
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) & ~0o750 == 0
    assert stat.S_IMODE((tmp_path / "logs" / "pool.log").stat().st_mode) & ~0o640 == 0


def test_refused_descriptor_stays_the_callers(logger: Logger, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with pytest.raises(ValueError, match="not a pool's name"):
        give_back(logger.add("a b", 1, 1, reading))
    with open(tmp_path / "plain", "w") as file, pytest.raises(PermissionError):
        logger.add("pool", 1, 1, file.fileno())  # epoll takes no plain files
    logger.stop()
    with pytest.raises(OSError, match="cannot log the worker 1 of pool") as caught:
        give_back(logger.add("pool", 1, 1, reading))
    assert caught.value.errno == errno.ESHUTDOWN
    os.close(reading)
    os.close(writing)


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot open the directory of the logs: Not a directory"):
        Logger(str(tmp_path / "file"))
    with pytest.raises(ValueError, match="at least 1"):
        Logger(str(tmp_path), files=0)


def test_logger_that_is_never_stopped_is_loud(tmp_path: Path) -> None:
    logger = Logger(str(tmp_path))
    logger.start()
    held = [logger]
    del logger
    with pytest.warns(ResourceWarning, match="never stopped"):
        held.clear()


def test_all_descriptors_are_closed_at_the_end(tmp_path: Path) -> None:
    gc.collect()  # of what other tests have left
    before = len(os.listdir("/proc/self/fd"))
    unused = Logger(str(tmp_path))
    write_in_one(unused, b"never read\n")
    used = Logger(str(tmp_path))
    used.start()
    write_in_one(used, b"read\n")
    used.stop()
    del unused, used
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_thread_has_a_name_and_no_signals(logger: Logger) -> None:
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text() == "drop-log\n":
            blocked = re.search(r"SigBlk:\t(\w+)", (task / "status").read_text())
            assert blocked is not None
            assert int(blocked[1], 16) & (1 << (signal.SIGTERM - 1))
            return
    pytest.fail("no thread is called drop-log")


@pytest.mark.parametrize("pool", ["words", "a/b:1.0", "..", ".hidden", "x.log", "x" * 128])
def test_names_of_files_lead_back_to_pools(pool: str) -> None:
    name = file_name(pool)
    assert "/" not in name
    assert not name.startswith(".")
    assert pool_name(name) == pool


@pytest.mark.parametrize("pool", ["", "a b", "$control", "x" * 129, "é"])
def test_what_is_no_pool_has_no_file(pool: str) -> None:
    with pytest.raises(ValueError, match="not a pool's name"):
        file_name(pool)


@pytest.mark.parametrize("name", ["x.log.1", "x.log.new", ".x.log", "a:b.log", "x", ".log"])
def test_other_files_belong_to_no_pool(name: str) -> None:
    assert pool_name(name) is None
