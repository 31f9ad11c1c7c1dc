"""Whether a group of values has helped, from figures taken in alternation. Pure.

A machine is twice as fast at one hour as at another, so before and after take turns, and a gain
counts only when it is larger than what the runs of one kind differ by anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from drop.host.tuning.advice import Profile
from drop.host.tuning.parameters import Group

PAIRS_MIN = 5
MEASURED = (Group.MEMORY, Group.BACKLOG, Group.TCP, Group.BUFFERS)
"""In this order; SAFETY is for what a benchmark does not meet."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    higher_is_better: bool


METRICS = {
    Profile.THROUGHPUT: Metric("messages/s", True),
    Profile.LATENCY: Metric("p50 in us", False),
    Profile.EDGE: Metric("messages/s", True),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Medians; `spread` is the larger of the two middle halves (interquartile ranges)."""

    before: float
    after: float
    spread: float
    wins: int  # pairs of which the second run was the better one
    pairs: int
    helped: bool


def judge(before: Sequence[float], after: Sequence[float], metric: Metric) -> Verdict:
    """Figures in the order in which they were taken; at least PAIRS_MIN of each."""
    assert len(before) == len(after) >= PAIRS_MIN
    sign = 1 if metric.higher_is_better else -1
    pairs = zip(before, after, strict=True)
    wins = sum(sign * second > sign * first for first, second in pairs)
    gain = sign * (median(after) - median(before))
    spread = max(_middle_half(before), _middle_half(after))
    helped = gain > spread and wins * 5 >= len(before) * 4
    return Verdict(median(before), median(after), spread, wins, len(before), helped)


def _middle_half(values: Sequence[float]) -> float:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return high - low
