"""docs/tuning.md says what the table of parameters says."""

from __future__ import annotations

from pathlib import Path

import pytest

from drop.host.tuning.advice import GIB, Machine, Policy, Profile
from drop.host.tuning.parameters import PARAMETERS, Parameter

GUIDE = Path(__file__).parents[3] / "docs" / "tuning.md"
MACHINE = Machine(16 * GIB, 4, (6, 1))  # as the guide says
RULES = {
    Policy.AT_LEAST: "at least",
    Policy.AT_MOST: "at most",
    Policy.IF_ZERO: "where it is 0",
    Policy.EXACTLY: "exactly",
}


def documented(parameter: Parameter) -> str:
    """The row that the guide has to have."""
    cells, rules = [], []
    for profile in Profile:
        advice = parameter.compute(MACHINE, profile)
        cells.append(" ".join(map(str, advice.values)) if advice else "as it is")
        rules += [RULES[advice.policy]] if advice else []
    rule = " / ".join(dict.fromkeys(rules))
    scope = "network namespace" if parameter.namespaced else "host"
    why = f"{parameter.why}. {parameter.effect[0].upper()}{parameter.effect[1:]}."
    return f"| `{parameter.key}` | {' | '.join(cells)} | {rule} | {scope} | {why} |"


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda each: each.key)
def test_every_parameter_is_in_the_guide_as_it_is(parameter: Parameter) -> None:
    assert documented(parameter) in GUIDE.read_text().splitlines()


def test_the_guide_has_no_others() -> None:
    rows = [row for row in GUIDE.read_text().splitlines() if row.count("|") == 8]
    assert len(rows) == len(PARAMETERS) + 2  # the heading and its line
