"""`drop fun test`: the cases that come with a function, each with a worker of its own.

Cases are in function.yaml (`cases`), or files: `tests/NAME.in` with the messages and
`tests/NAME.out` with the answers. The comparison is exact; what differs is shown as a diff.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drop.flow.spec import Function, Kind
from drop.packages.conversation import Conversation, Worker, WorkerFault
from drop.packages.faults import PackageError
from drop.packages.manifest import CASES_MAX, Manifest, case_messages

DIRECTORY = "tests"
FILE_BYTES_MAX = 16 << 20  # of one .in or .out file
PATIENCE_SECONDS = 600.0  # for an event of a source, or an answer of a function without timeout
DIFF_LINES_MAX = 200

Launch = Callable[[], Worker]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    messages: list[bytes]
    answers: list[bytes]


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    fault: str
    """Why it failed, in lines; empty: it passed."""

    @property
    def passed(self) -> bool:
        return not self.fault


def cases_of(manifest: Manifest, directory: Path) -> list[Case]:
    """Those of function.yaml, then those in files, by name. Raises PackageError, OSError."""
    kind = manifest.kind
    cases = [
        Case(
            each.name or f"cases[{index}]",
            case_messages(each.input, kind),
            case_messages(each.output, kind),
        )
        for index, each in enumerate(manifest.keys.cases)
    ]
    outputs = sorted((directory / DIRECTORY).glob("*.out"))
    if len(cases) + len(outputs) > CASES_MAX:
        raise PackageError(
            f"{directory / DIRECTORY}: {len(cases) + len(outputs)} cases; at most {CASES_MAX}"
        )
    return cases + [_from_files(each, kind) for each in outputs]


def _from_files(output: Path, kind: Kind) -> Case:
    source = output.with_suffix(".in")
    messages: list[bytes] = []
    if kind != "stream":
        if not source.is_file():
            text = f"{output} has no {source.name} beside it; expected one with the messages"
            raise PackageError(text, "bad_package")
        messages = _messages(source, kind)
    case = Case(f"{DIRECTORY}/{output.stem}", messages, _messages(output, kind))
    if kind != "stream" and len(case.messages) != len(case.answers):
        raise PackageError(
            f"{output} has {len(case.answers)} answers to the {len(case.messages)} messages in"
            f" {source.name}; expected a line for each"
        )
    return case


def _messages(file: Path, kind: Kind) -> list[bytes]:
    with file.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise PackageError(f"{file} is too large; at most {FILE_BYTES_MAX} bytes")
    if kind == "exec":
        return [data]
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def run_case(case: Case, function: Function, launch: Launch) -> Result:
    """Raises what `launch` does."""
    answers: list[bytes] = []
    try:
        _answers(case, function, launch, answers)
    except WorkerFault as fault:
        shown = _difference(case.answers[: len(answers)], answers)
        return Result(case, f"{shown}{fault}")
    return Result(case, _difference(case.answers, answers))


def _answers(case: Case, function: Function, launch: Launch, into: list[bytes]) -> None:
    if function.effective_kind == "exec":
        for message in case.messages:
            with _Opened(launch, function) as conversation:
                into.append(conversation.whole(message))
        return
    with _Opened(launch, function) as conversation:
        if function.ready is not None:
            conversation.wait_until_ready(function.ready, function.start)
        if function.effective_kind == "stream":
            while len(into) < len(case.answers):
                into.append(conversation.next_line(_seconds(function)))
            return
        for message in case.messages:
            into.append(conversation.ask(message))
        conversation.finish()


def _seconds(function: Function) -> float:
    return function.timeout / 1000.0 if function.timeout else PATIENCE_SECONDS


class _Opened:
    """A conversation that is closed at the end of a block."""

    def __init__(self, launch: Launch, function: Function) -> None:
        limit = round(_seconds(function) * 1000)
        limited = function.model_copy(update={"timeout": limit})
        self._conversation = Conversation(launch(), limited, show_errors=False)

    def __enter__(self) -> Conversation:
        return self._conversation

    def __exit__(self, *_: object) -> None:
        self._conversation.close()


def _difference(expected: list[bytes], answered: list[bytes]) -> str:
    """A diff, or nothing when they are the same."""
    if expected == answered:
        return ""
    lines = list(
        difflib.unified_diff(
            _shown(expected), _shown(answered), "expected", "answered", lineterm="", n=2
        )
    )
    more = len(lines) - DIFF_LINES_MAX
    if more > 0:
        lines = [*lines[:DIFF_LINES_MAX], f"... {more} lines more"]
    return "\n".join(lines) + "\n"


def _shown(answers: list[bytes]) -> list[str]:
    """Lines that a terminal shows as they are: what cannot be printed is escaped."""
    lines: list[str] = []
    for answer in answers:
        *ended, last = answer.split(b"\n")
        lines += [_printable(part) + "\\n" for part in ended]
        if last or not ended:
            lines.append(_printable(last))
    return lines


def _printable(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
