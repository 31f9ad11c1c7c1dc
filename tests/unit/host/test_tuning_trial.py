"""Trials on files of a directory: what helped stays, the rest goes back, whatever ends them.

The figure of a run is computed from the values in the files, as a benchmark's is from the kernel's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drop.host.tuning.advice import GIB, Machine, Profile
from drop.host.tuning.judgement import METRICS, PAIRS_MIN
from drop.host.tuning.parameters import BY_KEY, Group
from drop.host.tuning.plan import Row, plan
from drop.host.tuning.saved import Change, Record, Store
from drop.host.tuning.sysctl import Sysctls, readings
from drop.host.tuning.trial import Trial, Trials

MACHINE = Machine(64 * GIB, 16, (6, 1))
START = {
    "vm.swappiness": "60",
    "net.core.somaxconn": "128",
    "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    "kernel.panic": "0",
}
RATE = METRICS[Profile.THROUGHPUT]


class Bench:
    """A directory in the place of /proc/sys, and runs whose figures come from it."""

    def __init__(self, directory: Path) -> None:
        self.sysctls = Sysctls(directory / "sys")
        self.store = Store(directory, ())
        for key, value in START.items():
            self.sysctls.path(key).parent.mkdir(parents=True, exist_ok=True)
            self.sysctls.path(key).write_text(f"{value}\n")
        self.runs = 0
        self.told = list[Trial]()

    def values(self) -> dict[str, str]:
        return {key: self.sysctls.text(key) for key in START}

    def rows(self) -> list[Row]:
        return plan(MACHINE, readings(self.sysctls, BY_KEY), Profile.THROUGHPUT)

    def only_somaxconn_helps(self) -> float:
        self.runs += 1
        return 100.0 + 50.0 * (self.sysctls.text("net.core.somaxconn") == "4096") + self.runs % 3

    def measure(self, run: Callable[[], float]) -> list[Trial]:
        trials = Trials(self.sysctls, self.store, "throughput", PAIRS_MIN)
        return trials.all(self.rows(), RATE, run, self.told.append)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_only_what_helped_stays(bench: Bench) -> None:
    found = bench.measure(bench.only_somaxconn_helps)
    assert bench.told == found
    assert {each.group: each.verdict.helped for each in found} == {
        Group.MEMORY: False,
        Group.BACKLOG: True,
        Group.TCP: False,
        Group.BUFFERS: False,
    }
    assert bench.runs == 4 * 2 * PAIRS_MIN
    assert bench.values() == START | {"net.core.somaxconn": "4096"}
    record = bench.store.load()
    assert record is not None
    assert record.values == {"net.core.somaxconn": Change("128", "4096")}
    assert record.complete


def test_before_and_after_take_turns(bench: Bench) -> None:
    seen = list[str]()

    def run() -> float:
        seen.append(bench.sysctls.text("vm.swappiness"))
        return 1.0

    bench.measure(run)
    assert seen[: 2 * PAIRS_MIN] == ["60", "10"] * PAIRS_MIN
    assert bench.values() == START
    assert bench.store.load() is None


@pytest.mark.parametrize("at", [1, 2, 11, 12, 13, 40])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_it_all_is_as_it_was(
    bench: Bench, at: int, error: type[BaseException]
) -> None:
    def run() -> float:
        figure = bench.only_somaxconn_helps()
        if bench.runs == at:
            raise error
        return figure

    with pytest.raises(error):
        bench.measure(run)
    assert bench.values() == START
    assert bench.store.load() is None


def test_what_was_applied_before_is_where_it_goes_back_to(bench: Bench) -> None:
    """`--apply` had set 10, the operator has 30 now: 30 is the before, 60 stays the original."""
    known = Record("throughput", {"vm.swappiness": Change("60", "10")}, complete=True)
    bench.store.save(known)
    bench.sysctls.write("vm.swappiness", "30")
    bench.measure(lambda: 1.0)
    assert bench.values() == START | {"vm.swappiness": "30"}
    assert bench.store.load() == known


def test_the_record_has_the_originals_while_it_is_measured(bench: Bench) -> None:
    def run() -> float:
        record = bench.store.load()
        assert record is not None
        for key, change in record.values.items():
            assert change.before == START[key]
        return 1.0

    assert len(bench.measure(run)) == 4
