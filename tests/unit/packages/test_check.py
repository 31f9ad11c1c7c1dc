"""The cases of a function: passed, failed with a diff, or failed with the reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from drop.flow.spec import Function
from drop.packages.check import Case, Result, cases_of, run_case
from drop.packages.faults import PackageError
from drop.packages.manifest import load_manifest
from drop.workers.process import Command, Process, launch
from packages_tools import make_directory

CAT = "while IFS= read -r line; do printf '%s\\n' \"$line\"; done"


def checked(program: str, messages: list[bytes], answers: list[bytes], **values: Any) -> Result:
    function = Function.model_validate({"name": "f", "cmd": ["-"], "timeout": 10_000, **values})

    def start() -> Process:
        return launch(Command(("sh", "-c", program), None, {"PATH": os.environ["PATH"]}))

    return run_case(Case("c", messages, answers), function, start)


def test_passing() -> None:
    assert checked(CAT, [b"a", b""], [b"a", b""]).passed
    assert checked(CAT, [b"a"], [b"a"], kind="async").passed
    assert checked("exec cat", [b"a\n", b"\0"], [b"a\n", b"\0"], kind="frame").passed
    assert checked("exec tr a-z A-Z", [b"a\n", b"b"], [b"A\n", b"B"], kind="exec").passed
    assert checked("yes tick", [], [b"tick"] * 3, kind="stream").passed
    assert checked("echo up; " + CAT, [b"a"], [b"a"], ready="up").passed
    assert checked(CAT, [b"a"], [b"a"], timeout=0).passed


def test_a_difference_is_shown() -> None:
    result = checked(CAT, [b"a", b"b", b"c"], [b"a", b"x", b"c"])
    assert not result.passed
    assert result.fault.splitlines() == [
        "--- expected",
        "+++ answered",
        "@@ -1,3 +1,3 @@",
        " a",
        "-x",
        "+b",
        " c",
    ]


def test_what_cannot_be_printed_is_escaped() -> None:
    fault = checked("exec printf '\\033[2J\\377\\n'", [b""], [b"x"], kind="exec").fault
    assert "+\\x1b[2J\\xff\\n" in fault.splitlines()
    missing = checked("exec cat", [b"a"], [b"a\n"], kind="exec").fault.splitlines()
    assert missing[-2:] == ["-a\\n", "+a"]


def test_a_long_difference_is_cut() -> None:
    fault = checked("seq 1000", [b""], [b"x"], kind="exec").fault.splitlines()
    assert len(fault) == 201
    assert fault[-1].endswith("lines more")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("exit 3", "the worker ended (exit code 3)"),
        ("read -r x; echo a; echo boom >&2; read -r x; exit 1", "stderr: boom"),
        ("while read -r x; do echo a; echo a; done", "it wrote more than"),
        ("read -r x; echo a; exec sleep 60", "no answer to message 2 within 300 ms"),
    ],
)
def test_a_worker_that_breaks_its_contract(program: str, says: str) -> None:
    limit = 300 if "sleep" in program else 10_000
    result = checked(program, [b"1", b"2"], [b"a", b"a"], timeout=limit)
    if "more than" in says:  # found at the second message, or at the end
        assert "more than" in result.fault
    else:
        assert says in result.fault


def test_a_stream_that_ends_early() -> None:
    result = checked("echo one", [], [b"one", b"two"], kind="stream")
    assert "the worker ended (exit code 0)" in result.fault


YAML = "name: hello\nversion: 1.0.0\ncmd: cat\nkind: {kind}\n"


def test_cases_from_files(tmp_path: Path) -> None:
    yaml = YAML.format(kind="line") + "cases: [{input: [x], output: [y]}, {name: n, output: []}]\n"
    files = {"tests/b.in": b"1\n2\n", "tests/b.out": b"3\n4", "tests/a.in": b"", "tests/a.out": b""}
    directory = make_directory(tmp_path / "source", dict(files), yaml=yaml)
    cases = cases_of(load_manifest(directory), directory)
    assert [each.name for each in cases] == ["cases[0]", "n", "tests/a", "tests/b"]
    assert cases[3] == Case("tests/b", [b"1", b"2"], [b"3", b"4"])


def test_cases_of_exec_and_stream_from_files(tmp_path: Path) -> None:
    yaml = YAML.format(kind="exec")
    directory = make_directory(
        tmp_path / "exec", {"tests/a.in": b"1\n2\n", "tests/a.out": b"\0\n"}, yaml=yaml
    )
    assert cases_of(load_manifest(directory), directory) == [
        Case("tests/a", [b"1\n2\n"], [b"\0\n"])
    ]
    yaml = YAML.format(kind="stream")
    directory = make_directory(tmp_path / "stream", {"tests/a.out": b"1\n2\n"}, yaml=yaml)
    assert cases_of(load_manifest(directory), directory) == [Case("tests/a", [], [b"1", b"2"])]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"tests/a.out": b"x"}, "has no a.in beside it"),
        ({"tests/a.out": b"x\ny", "tests/a.in": b"x"}, "has 2 answers to the 1 messages"),
    ],
)
def test_files_that_do_not_fit(files: dict[str, bytes | str], says: str, tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "source", files, yaml=YAML.format(kind="line"))
    with pytest.raises(PackageError, match=says):
        cases_of(load_manifest(directory), directory)
