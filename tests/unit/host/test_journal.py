"""One event is one line, whatever its values hold."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest

from drop.host import journal


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    asyncio_log = logging.getLogger("asyncio")
    before = [(log, log.handlers[:], log.propagate) for log in (journal.LOGGER, asyncio_log)]
    journal.set_up(stream)
    yield stream
    for log, handlers, propagate in before:
        log.handlers[:], log.propagate = handlers, propagate


def test_a_line(stream: io.StringIO) -> None:
    journal.event("warning", "worker_ended", pool="a/b", worker=2, pid=None, text='exit "3" now')
    line = stream.getvalue()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z warning worker_ended ", line)
    assert line.endswith(' pool=a/b worker=2 text="exit \\"3\\" now"\n')


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        ("plain", "plain"),
        (3, "3"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a\nb", '"a\\nb"'),
        ("a=b", '"a=b"'),
        ("é", "é"),
    ],
)
def test_a_value_stays_in_its_field_and_line(thing: object, expected: str) -> None:
    assert journal.value(thing) == expected


def test_an_exception_is_one_line_too(stream: io.StringIO) -> None:
    try:
        raise ValueError("told")
    except ValueError:
        journal.LOGGER.exception("internal_error")
    logging.getLogger("asyncio").error("a callback failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "ValueError: told" in lines[0]


def test_details_are_left_out(stream: io.StringIO) -> None:
    journal.event("debug", "nothing")
    assert stream.getvalue() == ""
