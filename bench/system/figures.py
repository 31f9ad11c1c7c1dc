"""One figure of a case, what it is compared with, and the bar it has to pass. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

Sample = Mapping[str, float]


class Compared(Enum):
    """What a bar looks at."""

    RATIO = "ratio"  # ours / yardstick
    DIFFERENCE = "difference"  # ours - yardstick
    OURS = "ours"


@dataclass(frozen=True)
class Bar:
    """A limit, and on which side of it is good."""

    limit: float
    compared: Compared = Compared.RATIO
    at_least: bool = False

    def passes(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        what = {"ratio": "x", "difference": " more", "ours": ""}[self.compared.value]
        return f"{'>=' if self.at_least else '<='} {self.limit:,g}{what}"


def at_least(limit: float, compared: Compared = Compared.RATIO) -> Bar:
    return Bar(limit, compared, at_least=True)


def at_most(limit: float, compared: Compared = Compared.RATIO) -> Bar:
    return Bar(limit, compared)


@dataclass(frozen=True)
class Row:
    """A line of the table. Without a bar it is recorded and not judged."""

    case: str
    figure: str  # what it is, with its unit
    ours: float
    yardstick: float | None = None
    bar: Bar | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.yardstick if self.yardstick else None

    @property
    def verdict(self) -> str:
        """`ok`, `short`, or nothing: without a bar, or with nothing to compare with."""
        value = self._compared()
        if self.bar is None or value is None:
            return ""
        return "ok" if self.bar.passes(value) else "short"

    def _compared(self) -> float | None:
        if self.bar is None or self.bar.compared is Compared.OURS:
            return self.ours
        if self.bar.compared is Compared.DIFFERENCE:
            return None if self.yardstick is None else self.ours - self.yardstick
        return self.ratio

    def as_json(self) -> dict[str, object]:
        return {
            "case": self.case, "figure": self.figure, "ours": _short(self.ours),
            "yardstick": _short(self.yardstick), "ratio": _short(self.ratio),
            "bar": str(self.bar) if self.bar else None, "verdict": self.verdict,
        }  # fmt: skip


def median(samples: Sequence[Sample], key: str) -> float:
    return statistics.median(sample[key] for sample in samples)


def table(rows: Sequence[Row]) -> str:
    """For people; the numbers line up."""
    heads = ("case", "figure", "yardstick", "ours", "ratio", "bar", "")
    lines = [heads] + [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 or column > 4 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
    bar = str(row.bar) if row.bar else ""
    yardstick = "" if row.yardstick is None else number(row.yardstick)
    return row.case, row.figure, yardstick, number(row.ours), ratio, bar, row.verdict


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
