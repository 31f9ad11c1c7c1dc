"""Two recorded runs side by side: `python -m bench.compare OLD.json NEW.json`.

Compare ratios. Absolute figures are of two moments, and often of two machines.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.record import read
from bench.system.figures import number


def compare(old: dict[str, Any], new: dict[str, Any]) -> str:
    """A line for each row that both have."""
    before = {(row["case"], row["figure"]): row for row in old["rows"]}
    lines = [f"{'case':38}{'figure':42}{'old':>12}{'new':>12}{'old ratio':>11}{'new ratio':>11}"]
    for row in new["rows"]:
        was = before.get((row["case"], row["figure"]))
        if was is not None:
            figures = f"{number(was['ours']):>12}{number(row['ours']):>12}"
            ratios = f"{_ratio(was):>11}{_ratio(row):>11}"
            lines.append(f"{row['case']:38}{row['figure']:42}{figures}{ratios}".rstrip())
    return "\n".join(lines)


def _ratio(row: dict[str, Any]) -> str:
    return "" if row["ratio"] is None else f"{row['ratio']:.3f}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.compare OLD.json NEW.json")
    print(compare(read(Path(sys.argv[1])), read(Path(sys.argv[2]))))
