"""Every status has an exit code, and what is told names what, where and what to do."""

import json

import pytest

from drop.cli import errors
from drop.cli.errors import EXIT_CODES, CommandError, UsageError, report
from drop.errors import STATUS, ConnectionLost, ProtocolError, error_for


def test_every_status_has_an_exit_code() -> None:
    assert set(STATUS.values()) <= set(EXIT_CODES)
    assert {ConnectionLost.status, ProtocolError.status} <= set(EXIT_CODES)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [(1, 1), (2, 4), (3, 5), (4, 2), (5, 1), (6, 2), (7, 2), (8, 5), (9, 2), (10, 1), (99, 1)],
)
def test_exit_codes_are_by_fault(code: int, exit_code: int) -> None:
    assert errors.describe(error_for(code))[1] == exit_code


def test_a_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ConnectionLost("host:1: Connection refused"), as_json=False) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("drop: host:1: Connection refused\n")
    assert "drop-node run" in told.err


def test_a_hint_is_not_told_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error_for(4, "no pool a; similar names: b"), as_json=False) == 2
    assert "`drop top --once`" in capsys.readouterr().err
    report(error_for(4, "no pool a; `drop top --once` lists the pools it has"), as_json=False)
    assert capsys.readouterr().err.count("`drop top --once`") == 1


def test_a_document_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(CommandError("flow a runs", "conflict"), as_json=True) == 1
    told = capsys.readouterr()
    assert json.loads(told.out) == {"status": "conflict", "error": "flow a runs"}
    assert told.err == "drop: conflict: flow a runs\n"


def test_a_mistake_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(UsageError("--depth 0: expected 1 or more"), as_json=False) == 2
    assert capsys.readouterr().err == "drop: --depth 0: expected 1 or more\n"
