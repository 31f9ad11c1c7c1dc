"""Reading logs: selection, and following files that rotate, move, vanish and end in half a line."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drop.workers.logline import Selection, parse_call, parse_line, parse_since
from drop.workers.logs import GAP, LogReader, logged_pools, read_log

NOW = datetime(2026, 11, 24, 3, 40, 0, tzinfo=UTC)


def line(second: int, text: str) -> bytes:
    return b"2026-11-24T03:40:%02d.000000Z pool/1[7] - %s" % (second, text.encode())


def rotate(directory: Path, files: int = 5) -> None:
    """As the logger does it, up to the new, empty POOL.log."""
    for number in range(files - 1, 0, -1):
        source = directory / (f"pool.log.{number - 1}" if number > 1 else "pool.log")
        if source.exists():
            source.rename(directory / f"pool.log.{number}")
    (directory / "pool.log.new").touch()
    (directory / "pool.log.new").rename(directory / "pool.log")


def append(directory: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with open(directory / "pool.log", "ab") as file:
        file.write(b"\n".join(lines) + end)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LogReader]:
    made = LogReader(str(tmp_path), "pool")
    yield made
    made.close()


def test_log_that_does_not_exist_yet(reader: LogReader, tmp_path: Path) -> None:
    assert list(reader.read()) == []
    append(tmp_path, b"one")
    assert list(reader.read()) == [b"one"]
    assert list(reader.read()) == []


def test_files_are_read_from_the_oldest(reader: LogReader, tmp_path: Path) -> None:
    for text in (b"one", b"two", b"three"):
        rotate(tmp_path)
        append(tmp_path, text)
    assert list(reader.read()) == [b"one", b"two", b"three"]
    assert reader.gaps == 0


def test_half_a_line_waits_for_its_end(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"one", b"ha", end=b"")
    assert list(reader.read()) == [b"one"]
    append(tmp_path, b"lf")
    assert list(reader.read()) == [b"half"]


def test_half_a_line_that_is_cut_off_again_is_not_seen(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"one", b"torn", end=b"")
    assert list(reader.read()) == [b"one"]
    os.truncate(tmp_path / "pool.log", len(b"one\n"))
    append(tmp_path, b"two")
    assert list(reader.read()) == [b"two"]


def test_end_of_a_rotated_file_without_newline(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"one", b"crash", end=b"")
    rotate(tmp_path)
    append(tmp_path, b"two")
    assert list(reader.read()) == [b"one", b"crash", b"two"]


@pytest.mark.parametrize("rotations", [1, 2, 3, 4])
def test_rotations_between_two_looks(reader: LogReader, tmp_path: Path, rotations: int) -> None:
    append(tmp_path, b"seen")
    assert list(reader.read()) == [b"seen"]
    append(tmp_path, b"end of the first")
    for number in range(rotations):
        rotate(tmp_path)
        append(tmp_path, b"in %d" % number)
    expected = [b"end of the first", *(b"in %d" % number for number in range(rotations))]
    assert list(reader.read()) == expected
    assert reader.gaps == 0


def test_more_rotations_than_files_leave_a_gap_that_is_told(
    reader: LogReader, tmp_path: Path
) -> None:
    append(tmp_path, b"seen")
    assert list(reader.read()) == [b"seen"]
    for number in range(7):
        rotate(tmp_path, files=3)
        append(tmp_path, b"in %d" % number)
    assert list(reader.read()) == [GAP, b"in 4", b"in 5", b"in 6"]
    assert reader.gaps == 1


@pytest.mark.parametrize("done", [1, 2, 3])
def test_look_in_the_middle_of_a_rotation(reader: LogReader, tmp_path: Path, done: int) -> None:
    """The renames of one rotation, stopped after each of them: a hole in the names."""
    for text in (b"one", b"two"):
        rotate(tmp_path)
        append(tmp_path, text)
    assert list(reader.read()) == [b"one", b"two"]
    steps = [("pool.log.1", "pool.log.2"), ("pool.log", "pool.log.1"), ("new", "pool.log")]
    (tmp_path / "new").write_bytes(b"three\n")
    for source, target in steps[:done]:
        (tmp_path / source).rename(tmp_path / target)
    assert list(reader.read()) == ([b"three"] if done == 3 else [])
    for source, target in steps[done:]:
        (tmp_path / source).rename(tmp_path / target)
    assert list(reader.read()) == ([] if done == 3 else [b"three"])


def test_first_look_in_the_middle_of_a_rotation(reader: LogReader, tmp_path: Path) -> None:
    for text in (b"one", b"two", b"three"):
        rotate(tmp_path)
        append(tmp_path, text)
    (tmp_path / "pool.log.2").rename(tmp_path / "pool.log.3")
    assert list(reader.read()) == [b"one", b"two", b"three"]


def test_log_that_was_moved_by_hand(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"older")
    os.utime(tmp_path / "pool.log", (1, 1))
    rotate(tmp_path)
    append(tmp_path, b"one")
    assert list(reader.read()) == [b"older", b"one"]
    append(tmp_path, b"two")
    (tmp_path / "pool.log").rename(tmp_path / "archive")
    append(tmp_path, b"three")
    assert list(reader.read()) == [b"two", b"three"]


def test_log_that_was_emptied_by_hand(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"a long line at the start")
    assert list(reader.read()) == [b"a long line at the start"]
    os.truncate(tmp_path / "pool.log", 0)
    append(tmp_path, b"new")
    assert list(reader.read()) == [b"new"]


def test_log_that_was_deleted(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"one")
    assert list(reader.read()) == [b"one"]
    (tmp_path / "pool.log").unlink()
    assert list(reader.read()) == []
    append(tmp_path, b"two")
    assert list(reader.read()) == [GAP, b"two"]


def test_line_without_an_end(reader: LogReader, tmp_path: Path) -> None:
    append(tmp_path, b"x" * 600_000)
    assert b"".join(reader.read()) == b"x" * 600_000


def test_reader_closes_its_files(reader: LogReader, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        rotate(tmp_path)
        append(tmp_path, b"text")
    list(reader.read())
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_drop_logs_shows(tmp_path: Path) -> None:
    append(tmp_path, *(line(second, f"text {second}") for second in range(10)))
    directory = str(tmp_path)
    assert list(read_log(directory, "pool", lines=2)) == [line(8, "text 8"), line(9, "text 9")]
    assert list(read_log(directory, "pool", lines=0)) == []
    assert len(list(read_log(directory, "pool"))) == 10
    late = parse_since("2026-11-24T03:40:05", NOW)
    assert len(list(read_log(directory, "pool", selection=Selection(late)))) == 5
    odd = Selection(pattern=re.compile(rb"text [13579]"))
    assert [text[-1:] for text in read_log(directory, "pool", selection=odd, lines=2)] == [
        b"7",
        b"9",
    ]


def test_following_goes_on_after_the_last_lines(tmp_path: Path) -> None:
    append(tmp_path, line(1, "one"), line(2, "two"))
    coming = iter([line(3, "three"), line(4, "unlike"), line(5, "three again")])

    def wait() -> bool:
        text = next(coming, None)
        if text is None:
            return False
        rotate(tmp_path)
        append(tmp_path, text)
        return True

    selection = Selection(pattern=re.compile(b"t[hw]"))
    shown = list(read_log(str(tmp_path), "pool", lines=1, selection=selection, wait=wait))
    assert shown == [line(2, "two"), line(3, "three"), line(5, "three again")]


def test_line_without_a_time_goes_with_the_one_before() -> None:
    lines = [line(1, "one"), b"torn", line(3, "three"), b"torn as well"]
    since = parse_since("2026-11-24T03:40:02Z", NOW)
    assert list(Selection(since).of(lines)) == [line(3, "three"), b"torn as well"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", b"2026-11-24T03:38:30.000000Z"),
        ("1.5h", b"2026-11-24T02:10:00.000000Z"),
        ("1d", b"2026-11-23T03:40:00.000000Z"),
        ("2026-11-24", b"2026-11-24T00:00:00.000000Z"),
        ("2026-11-24T01:00:00+02:00", b"2026-11-23T23:00:00.000000Z"),
        ("2026-11-24T03:40:01.123456Z", b"2026-11-24T03:40:01.123456Z"),
    ],
)
def test_since(text: str, expected: bytes) -> None:
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "10", "5w", "-3m"])
def test_since_that_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; expected an age"):
        parse_since(text, NOW)


def test_line_taken_apart() -> None:
    parsed = parse_line(b"2026-11-24T03:40:01.123456Z a/b/12[34] 00000000000000ff c/5[6] text")
    assert parsed is not None
    assert (parsed.pool, parsed.worker, parsed.pid) == ("a/b", 12, 34)
    assert (parsed.call, parsed.text) == ("00000000000000ff", "c/5[6] text")
    assert parse_line(b"torn") is None


@pytest.mark.parametrize(
    ("rest", "call", "text"),
    [
        (b"- - a list", None, "- a list"),
        (b"- ", None, ""),
        (b"0123456789abcdef ", "0123456789abcdef", ""),
        (b"before there were calls", None, "before there were calls"),
        (b"- \xff", None, "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_call_and_text(rest: bytes, call: str | None, text: str) -> None:
    parsed = parse_line(b"2026-11-24T03:40:01.123456Z p/1[2] " + rest)
    assert parsed is not None
    assert (parsed.call, parsed.text) == (call, text)


def test_lines_of_a_call() -> None:
    lines = [
        b"2026-11-24T03:40:01.000000Z p/1[7] 00000000000000ab one",
        b"2026-11-24T03:40:02.000000Z p/1[7] - of no call: 00000000000000ab",
        b"2026-11-24T03:40:03.000000Z p/1[7] 00000000000000ac another",
        b"torn 00000000000000ab",
        b"2026-11-24T03:40:04.000000Z p/12[7] 00000000000000ab two",
    ]
    assert list(Selection(call=parse_call("AB")).of(lines)) == [lines[0], lines[4]]
    assert list(Selection(worker=12).of(lines)) == [lines[4]]
    assert list(Selection(call=parse_call("0xac"), worker=12).of(lines)) == []


@pytest.mark.parametrize("text", ["", "xyz", "-", "0123456789abcdef0", "1 2"])
def test_what_is_no_call(text: str) -> None:
    with pytest.raises(ValueError, match="is no call's id; expected 1 to 16 hexadecimal digits"):
        parse_call(text)


def test_logs_of_several_pools_in_the_order_of_time(tmp_path: Path) -> None:
    pools = ["a", "b"]
    text = b"2026-11-24T03:40:%02d.000000Z %s/1[2] - %d\n"
    (tmp_path / "a.log.1").write_bytes(text % (1, b"a", 1) + b"torn\n")
    (tmp_path / "a.log").write_bytes(text % (3, b"a", 3))
    (tmp_path / "b.log").write_bytes(text % (2, b"b", 2) + text % (4, b"b", 4))

    looks = iter([True])

    def wait() -> bool:
        (tmp_path / "c.log").write_bytes(text % (5, b"c", 5))
        pools.append("c")
        return next(looks, False)

    shown = list(read_log(str(tmp_path), lambda: pools, wait=wait))
    assert [line[-1:] for line in shown] == [b"1", b"n", b"2", b"3", b"4", b"5"]
    assert list(read_log(str(tmp_path), lambda: pools, lines=2)) == shown[-2:]


def test_pools_that_have_a_log(tmp_path: Path) -> None:
    for name in ("b.log", "b.log.1", "a+c.log", "a+c.log.new", "other"):
        (tmp_path / name).touch()
    assert logged_pools(str(tmp_path)) == ["a/c", "b"]
    assert logged_pools(str(tmp_path / "none")) == []
