"""Every example function keeps the contract of `line`, whatever a message says.

The functions run on bare pipes here, without a node: one message in, exactly one line out, before
the next message comes, and an orderly end at the end of stdin.
"""

import os
import select
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))  # the examples are scripts, not a package

import toolchain  # noqa: E402

ANSWER_S_MAX = 20.0

FUNCTIONS = {
    function["name"]: shlex.split(function["cmd"])
    for flow in ("flights.yml", "hello.yml")
    for function in yaml.safe_load((EXAMPLES / flow).read_text())["func"]
}

RECORD = b"1,1830,45,60,B6,915,JFK,ORD,120,740"
FLOWN = (
    b"flown carrier=B6 origin=JFK dest=ORD hour=18 dep_delay=45 arr_delay=60 "
    b"air_time=120 distance=740"
)
LATE = FLOWN + b" late=1 mph=370"

ANSWERS = {
    "parse": [
        (RECORD, FLOWN),
        (b"1,600,NA,NA,UA,1,EWR,SFO,NA,2565", b"cancelled carrier=UA origin=EWR dest=SFO"),
        (b"1,600,5,NA,UA,1,EWR,SFO,NA,2565", b"diverted carrier=UA origin=EWR dest=SFO"),
        (
            b"1,600,5,x,UA,1,EWR,SFO,1,2565",
            b"invalid: invalid literal for int() with base 10: 'x'",
        ),
    ],
    "grade": [
        (FLOWN, LATE),
        (
            b"flown arr_delay=14 air_time=60 distance=100",
            b"flown arr_delay=14 air_time=60 distance=100 late=0 mph=100",
        ),
    ],
    "by_carrier": [
        (LATE, b"flights=1 B6=1/1"),
        (b"flown carrier=UA late=0", b"flights=2 B6=1/1 UA=0/1"),
        (b"flown carrier=B6 late=0", b"flights=3 B6=1/2 UA=0/1"),
        (b"flown carrier=", b"invalid: no carrier= and late="),
    ],
    "carrier_report": [
        (
            b"flights=3 UA=0/1 B6=1/2",
            b"flights=3 | 50.0% late  1/2  JetBlue Airways | 0.0% late  0/1  United Air Lines Inc.",
        ),
    ],
    "by_hour": [
        (LATE, b"flights=1 18=45/1"),
        (b"flown hour=7 dep_delay=-3", b"flights=2 7=-3/1 18=45/1"),
        (b"flown hour=18 dep_delay=-5", b"flights=3 7=-3/1 18=40/2"),
        (b"flown", b"invalid: no hour and dep_delay"),
    ],
    "hour_report": [
        (b"flights=3 7=-3/1 18=40/2", "flights=3 | ▁█ | 07h -3.0 | 18h 20.0".encode()),
        (b"flights=1 7=1/0", b"invalid: division by zero"),
    ],
    "cancelled": [
        (b"cancelled carrier=UA origin=EWR dest=SFO", b"cancelled=1 EWR=1"),
        (b"cancelled carrier=UA origin=EWR dest=LAX", b"cancelled=2 EWR=2"),
        (b"cancelled origin=[$(id)]", b"invalid: not a cancelled flight"),
    ],
    "hello_bash": [(b"World", b"Hello, World, from bash")],
    "hello_python": [(b"World", b"Hello, World, from Python")],
    "hello_awk": [(b"World", b"Hello, World, from awk")],
    "hello_node": [(b"World", b"Hello, World, from Node.js")],
    "hello_c": [(b"World", b"Hello, World, from C")],
}

NASTY = [
    b"",
    b" ",
    b"a\rb\r",
    b"\xff\xfe\xc3",
    "line\u2028separator".encode(),
    b"\\n \\0 % %s $(id) `id` * ? 'quote\" ~",
    b"flights=1 5=a[$(id)]/1 6=08/3",
    b"carrier= late= hour= dep_delay= arr_delay= air_time= distance=",
    b"carrier=" + b"A" * 100 + b" late=1",
    b" arr_delay=99999999999999999999 air_time=0 distance=1",
    b"," * 9,
    b"x" * 100_000,
]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    toolchain.main()


@contextmanager
def running(name: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        FUNCTIONS[name],
        cwd=EXAMPLES,
        env={**os.environ, "PATH": toolchain.path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def exchange(process: subprocess.Popen[bytes], message: bytes) -> bytes:
    """Sends one message, and waits for the whole answer before anything else is sent."""
    assert process.stdin is not None
    assert process.stdout is not None
    view = memoryview(message + b"\n")
    while view:
        view = view[process.stdin.write(view) :]
    answer = b""
    while not answer.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], ANSWER_S_MAX)
        assert ready, f"no answer to {message[:60]!r} but {answer[:60]!r}"
        chunk = process.stdout.read(65536)
        assert chunk, f"ended at {message[:60]!r}"
        answer += chunk
    assert answer.count(b"\n") == 1, f"several lines for {message[:60]!r}: {answer[:200]!r}"
    return answer[:-1]


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    assert process.stdout.read() == b"", "something behind the last answer"
    assert process.wait(ANSWER_S_MAX) == 0


def test_every_function_has_an_example() -> None:
    assert ANSWERS.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_answers(name: str) -> None:
    with running(name) as process:
        for message, answer in ANSWERS[name]:
            assert exchange(process, message) == answer
        finish(process)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_line_for_any_message(name: str) -> None:
    with running(name) as process:
        answers = [exchange(process, message) for message in NASTY]
        finish(process)
    with running(name) as process:  # all at once, as with a large `inflight`
        together, _ = process.communicate(b"".join(message + b"\n" for message in NASTY))
    assert together.split(b"\n") == [*answers, b""]
