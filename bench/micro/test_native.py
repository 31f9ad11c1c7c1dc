"""The pure parts of c_src: parsing of frames, checking of lines, formatting of log lines.

The time is for MESSAGES messages: microseconds are nanoseconds per message.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.native import CASES, PAYLOAD, runner

MESSAGES = 1000

Run = Callable[[str, int], int]


@pytest.fixture(scope="module")
def run() -> Run:
    return runner()


@pytest.mark.parametrize("case", CASES)
def test_native(case: str, run: Run, benchmark: BenchmarkFixture) -> None:
    benchmark.group = f"{case.removesuffix('-floor')}: {MESSAGES} messages"
    assert benchmark(run, case, MESSAGES) == MESSAGES * PAYLOAD.get(case, 100)
