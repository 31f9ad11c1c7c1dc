"""Where messages come from, and that lines survive any cut between two reads."""

import os
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.cli.errors import UsageError
from drop.cli.messages import Messages, lines_of


class Pieces(FileIO):
    """A source whose reads return what they are told to."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int | None = -1, /) -> bytes:
        return next(self._pieces, b"")


@given(st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"b", b"\n")).filter(bool)))
def test_lines_do_not_depend_on_the_reads(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = whole.removesuffix(b"\n").split(b"\n") if whole else []
    assert [line for batch in lines_of(Pieces(pieces)) for line in batch] == expected


def test_lines_come_as_soon_as_they_are_complete() -> None:
    batches = lines_of(Pieces([b"a\nb\nc", b"c\n", b"d"]))
    assert list(batches) == [[b"a", b"b"], [b"cc"], [b"d"]]


def test_an_argument_may_be_any_bytes() -> None:
    assert list(Messages(os.fsdecode(b"\xff\n")).batches()) == [[b"\xff\n"]]


def test_a_file_is_taken_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"one\ntwo\n")
    assert list(Messages(file=file).batches()) == [[b"one\ntwo\n"]]
    assert list(Messages(file=file, lines=True).batches()) == [[b"one", b"two"]]


@pytest.mark.parametrize(
    "messages",
    [Messages("m", lines=True), Messages("m", file=Path("f")), Messages(file=Path("/nonexistent"))],
)
def test_what_cannot_be_is_refused(messages: Messages) -> None:
    with pytest.raises(UsageError):
        list(messages.batches())
