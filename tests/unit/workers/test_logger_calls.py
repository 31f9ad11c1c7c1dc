"""What the reactor and the starter of processes get of the logger: marks, and the ends of streams
through the capsule; native code is played by ctypes."""

import ctypes
import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drop._fast.logger import Logger, give_back
from drop.workers.logs import read_log

REPLY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
ADD = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64,
    ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.POINTER(ctypes.c_void_p),
)  # fmt: skip
TAIL = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, REPLY, ctypes.c_void_p,
)  # fmt: skip


class Sink(ctypes.Structure):
    """struct drop_logsink."""

    _fields_ = [("context", ctypes.c_void_p), ("add", ADD), ("tail", TAIL)]


def sink_of(logger: Logger) -> Sink:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return Sink.from_address(get(logger.sink(), b"drop.log_sink"))


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[Logger]:
    made = Logger(str(tmp_path / "logs"))
    made.start()
    yield made
    made.stop()


def tail_of(logger: Logger, mark: int) -> bytes:
    """Asks and waits for the reply, which comes in the logger's thread."""
    came, replies = threading.Event(), []

    def take(_: object, text: "ctypes._Pointer[ctypes.c_char]", length: int) -> None:
        replies.append(text[:length])
        came.set()

    sink = sink_of(logger)
    reply = REPLY(take)
    error = sink.tail(sink.context, mark, reply, None)
    if error:
        raise OSError(error, os.strerror(error))
    assert came.wait(20)
    return bytes(replies[0])


def test_end_of_what_a_process_has_written(logger: Logger) -> None:
    reading, writing = os.pipe()
    program = "echo one >&2; for n in $(seq 1000); do echo text $n >&2; done; printf 'the end' >&2"
    process = subprocess.Popen(["sh", "-c", program], stderr=writing)
    os.close(writing)
    mark = logger.add("pool", 1, process.pid, reading, tail=True)
    assert process.wait() == 0
    tail = tail_of(logger, mark)
    assert tail.endswith(b"\ntext 999\ntext 1000\nthe end\n")
    assert tail.startswith(b"text ")
    assert 2000 < len(tail) <= 2048
    give_back(mark)


def test_stream_that_the_native_side_has_added(logger: Logger, tmp_path: Path) -> None:
    sink = sink_of(logger)
    reading, writing = os.pipe()
    mark = ctypes.c_void_p()
    assert sink.add(sink.context, b"pool", 4, 7, 4711, reading, True, ctypes.byref(mark)) == 0
    os.write(writing, b"\x1b[31mbad\x1b[0m\n")
    assert mark.value is not None
    assert tail_of(logger, mark.value) == b"\\x1b[31mbad\\x1b[0m\n"
    os.close(writing)
    assert tail_of(logger, mark.value) == b"\\x1b[31mbad\\x1b[0m\n"
    give_back(mark.value)
    assert sink.add(sink.context, b"a b", 3, 7, 4711, 0, True, ctypes.byref(mark)) == errno.EINVAL
    line = next(read_log(str(tmp_path / "logs"), "pool"))
    assert line.endswith(b" pool/7[4711] - \\x1b[31mbad\\x1b[0m")


def test_no_tail_after_the_stop(logger: Logger) -> None:
    reading, writing = os.pipe()
    mark = logger.add("pool", 1, 1, reading, tail=True)
    logger.stop()
    with pytest.raises(OSError, match="shutdown"):
        tail_of(logger, mark)
    give_back(mark)
    os.close(writing)


def test_flood_does_not_delay_the_tail(logger: Logger) -> None:
    """A process that never stops writing has an end all the same: of what came until now."""
    reading, writing = os.pipe()
    flood = subprocess.Popen(["yes", "again and again"], stdout=writing)
    os.close(writing)
    mark = logger.add("pool", 1, flood.pid, reading, tail=True)
    try:
        while not (tail := tail_of(logger, mark)):
            pass
        assert set(tail.splitlines()) == {b"again and again"}
    finally:
        flood.kill()
        flood.wait()
        give_back(mark)


def test_old_file_is_rotated_and_read_on(tmp_path: Path) -> None:
    begun = datetime.now(UTC) - timedelta(hours=2)
    old = begun.strftime("%Y-%m-%dT%H:%M:%S.%fZ pool/1[2] - old\n").encode()
    log = tmp_path / "pool.log"
    log.write_bytes(old)
    logger = Logger(str(tmp_path), age_hours=1)
    logger.start()
    pause = threading.Event()
    shown = read_log(str(tmp_path), "pool", wait=lambda: not pause.wait(0.01))
    assert next(shown) == old[:-1]
    reading, writing = os.pipe()
    give_back(logger.add("pool", 1, 1, reading))
    os.write(writing, b"new\n")
    assert next(shown).endswith(b" new")
    os.write(writing, b"newer\n")
    assert next(shown).endswith(b" newer")
    shown.close()  # type: ignore[attr-defined]
    os.close(writing)
    logger.stop()
    assert (tmp_path / "pool.log.1").read_bytes() == old
    assert logger.statistics()["rotations"] == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate_lines": -1}, "rate_lines: 0 to 10000000 is expected"),
        ({"rate_lines": 10_000_001}, "rate_lines: 0 to 10000000 is expected"),
        ({"age_hours": -1}, "age_hours: 0 to 1000000 is expected"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, settings: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Logger(str(tmp_path), **settings)
