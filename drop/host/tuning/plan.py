"""What is to be changed: current values against recommended ones. Pure.

A value is never made worse for a policy's sake: what is already as good stays, and so does each
of the three of tcp_rmem and tcp_wmem. Where a lower value is the point, the row says "lowers".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from drop.host.tuning.advice import Advice, Machine, Policy, Profile
from drop.host.tuning.parameters import NOFILE, PARAMETERS, Parameter


class Status(StrEnum):
    OK = "ok"
    CHANGE = "change"
    LOCKED = "read-only"  # it should be changed, and nobody can from here
    LEFT = "left"  # the profile recommends nothing
    ABSENT = "absent"  # a kernel or a network namespace without it
    GONE = "gone"  # of all newer kernels
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found at a key."""

    text: str | None  # None: nothing was, see `problem`
    problem: str = ""  # why it cannot be read; "" with None: it does not exist
    locked: str = ""  # why not even root can write it from here
    needs: str = ""  # what is missing to write it: "root"
    note: str = ""  # where the value comes from


@dataclass(frozen=True, slots=True)
class Row:
    parameter: Parameter
    status: Status
    current: str = ""
    recommended: str = ""
    target: str = ""  # what is written: the better of the two; empty when nothing is
    direction: str = ""  # raises, lowers or sets
    note: str = ""

    @property
    def key(self) -> str:
        return self.parameter.key

    @property
    def differs(self) -> bool:
        """The machine is not as recommended, whether that can be changed from here or not."""
        return self.status in (Status.CHANGE, Status.LOCKED, Status.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Write:
    key: str
    before: str
    value: str


def fields(text: str) -> tuple[int, ...]:
    """The numbers of a value, which the kernel separates by tabs. Raises ValueError."""
    return tuple(int(word) for word in text.split())


def same(one: str, other: str) -> bool:
    return one.split() == other.split()


def plan(machine: Machine, readings: Mapping[str, Reading], profile: Profile) -> list[Row]:
    """A row for each parameter; `readings` has all keys."""
    return [_row(each, machine, readings[each.key], profile) for each in PARAMETERS]


def writes(rows: Iterable[Row]) -> list[Write]:
    """What `--apply` writes, in order; the limit of descriptors is a matter of `--persist`."""
    return [
        Write(row.key, row.current, row.target)
        for row in rows
        if row.status is Status.CHANGE and row.key != NOFILE
    ]


def _row(parameter: Parameter, machine: Machine, found: Reading, profile: Profile) -> Row:
    advice = parameter.compute(machine, profile)
    recommended = " ".join(map(str, advice.values)) if advice else "-"
    if found.text is None:
        return _missing(parameter, machine, found, recommended)
    current = " ".join(found.text.split())
    if advice is None:
        return Row(parameter, Status.LEFT, current, recommended, note=f"{profile} leaves it")
    try:
        values = fields(current)
    except ValueError:
        values = ()
    if len(values) != len(advice.values):
        note = f"found {current[:40]!r}, expected {len(advice.values)} number(s)"
        return Row(parameter, Status.UNREADABLE, current, recommended, note=note)
    if parameter.zero and values == (0,):
        return Row(parameter, Status.OK, current, recommended, note=f"kept: {parameter.zero}")
    target = _better(values, advice)
    if target == values:
        kept = "" if values == advice.values else _kept(advice)
        note = "; ".join(filter(None, (kept, found.note)))
        return Row(parameter, Status.OK, current, recommended, note=note)
    status = Status.LOCKED if found.locked else Status.CHANGE
    needs = f"needs {found.needs}" if found.needs else ""
    note = "; ".join(filter(None, (found.locked, needs, found.note)))
    direction = _direction(values, target, advice.policy)
    text = " ".join(map(str, target))
    return Row(parameter, status, current, recommended, text, direction, note)


def _missing(parameter: Parameter, machine: Machine, found: Reading, recommended: str) -> Row:
    if found.problem:
        return Row(parameter, Status.UNREADABLE, "", recommended, note=found.problem)
    if parameter.gone and machine.kernel >= parameter.gone:
        version = ".".join(map(str, parameter.gone))
        return Row(parameter, Status.GONE, note=f"gone since Linux {version}: skipped")
    return Row(parameter, Status.ABSENT, "", recommended, note="not in this kernel or namespace")


def _better(values: tuple[int, ...], advice: Advice) -> tuple[int, ...]:
    pairs = zip(values, advice.values, strict=True)
    match advice.policy:
        case Policy.AT_LEAST:
            return tuple(max(pair) for pair in pairs)
        case Policy.AT_MOST:
            return tuple(min(pair) for pair in pairs)
        case Policy.IF_ZERO:
            return tuple(wanted if value == 0 else value for value, wanted in pairs)
        case Policy.EXACTLY:
            return advice.values


def _kept(advice: Advice) -> str:
    if advice.policy is Policy.IF_ZERO:
        return "kept: somebody has decided"
    return f"kept: as good as {' '.join(map(str, advice.values))}"


def _direction(values: tuple[int, ...], target: tuple[int, ...], policy: Policy) -> str:
    if policy is Policy.EXACTLY:
        return "sets"
    return "lowers" if target < values else "raises"
