"""Tries groups of values one after the other and keeps what helped; the rest goes back.

Invariant: whatever ends a trial (Ctrl-C, an error of the benchmark), all that it has changed is as
it was; and what only a kill could leave behind is in the record, for `--revert`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drop.host.tuning.judgement import MEASURED, Metric, Verdict, judge
from drop.host.tuning.operations import Outcome, State, write_recorded
from drop.host.tuning.parameters import BY_KEY, Group
from drop.host.tuning.plan import Row, Write, writes
from drop.host.tuning.saved import Record, Store
from drop.host.tuning.sysctl import Sysctls

Run = Callable[[], float]  # one run of the benchmark, its figure


@dataclass(frozen=True, slots=True)
class Trial:
    group: Group
    writes: tuple[Write, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    verdict: Verdict
    failed: tuple[Outcome, ...]  # could not be written, so were not measured


class Trials:
    def __init__(self, sysctls: Sysctls, store: Store, profile: str, pairs: int) -> None:
        self._sysctls = sysctls
        self._store = store
        self._profile = profile
        self._pairs = pairs

    def all(
        self, rows: Sequence[Row], metric: Metric, run: Run, tell: Callable[[Trial], None]
    ) -> list[Trial]:
        """A trial for each group that has something to write; `tell` as each is over."""
        known, changed, found = self._store.load(), list[Write](), list[Trial]()
        try:
            for group in MEASURED:
                todo = [each for each in writes(rows) if BY_KEY[each.key].group is group]
                if todo:
                    changed += todo
                    found.append(self._one(group, todo, metric, run))
                    tell(found[-1])
        except BaseException:
            self._back(changed, known)
            raise
        return found

    def _one(self, group: Group, todo: list[Write], metric: Metric, run: Run) -> Trial:
        known = self._store.load()
        outcomes = write_recorded(self._sysctls, self._store, todo, self._profile)
        done = {each.key for each in outcomes if each.state is State.DONE}
        ours = [each for each in todo if each.key in done]
        failed = tuple(each for each in outcomes if each.state is not State.DONE)
        if not ours:
            return Trial(group, (), (), (), Verdict(0.0, 0.0, 0.0, 0, 0, False), failed)
        before, after = list[float](), list[float]()
        for _ in range(self._pairs):
            self._put([(each.key, each.before) for each in ours])
            before.append(run())
            self._put([(each.key, each.value) for each in ours])
            after.append(run())
        verdict = judge(before, after, metric)
        if not verdict.helped:
            self._back(ours, known)
        return Trial(group, tuple(ours), tuple(before), tuple(after), verdict, failed)

    def _put(self, values: Sequence[tuple[str, str]]) -> None:
        for key, value in values:
            self._sysctls.write(key, value)

    def _back(self, changed: Sequence[Write], known: Record | None) -> None:
        """All that can be; the record forgets only what is as it was before."""
        left = list[str]()
        for each in reversed(changed):
            try:
                if self._sysctls.text(each.key) != each.before:
                    self._sysctls.write(each.key, each.before)
            except OSError:
                left.append(each.key)
        record = self._store.load()
        if record is None:
            return
        before = copy.deepcopy(known) if known else Record(record.profile, complete=True)
        for key in left:
            if key in record.values:
                before.values[key] = record.values[key]
        if before.empty:
            self._store.remove()
        else:
            self._store.save(before)
