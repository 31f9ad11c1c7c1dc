"""What `drop tune` shows: the table for people, the documents for programs. Writes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from drop.host.tuning.advice import Machine, Profile
from drop.host.tuning.operations import Outcome, State
from drop.host.tuning.plan import Row, Status
from drop.host.tuning.socket_options import Option

WIDTH = 100
_HEAD = ("parameter", "now", "recommended", "here", "scope", "")
_WIDTHS = (29, 21, 21, 4, 5)
_MARKS = {Status.CHANGE: ">", Status.LOCKED: "!", Status.UNREADABLE: "!"}
_HERE = {Status.GONE: "gone", Status.ABSENT: "no"}

LEGEND = (
    "here: whether this kernel and namespace have it. scope: host, or each network namespace (net)."
    " > is changed by --apply, ! cannot be from here."
)


def table(machine: Machine, profile: Profile, rows: Sequence[Row]) -> str:
    """All rows with their reasons."""
    kernel = ".".join(map(str, machine.kernel))
    size = f"{machine.memory / (1 << 30):.1f} GiB"
    head = f"profile {profile}: {machine.cores} CPU(s), {size} of memory, Linux {kernel}"
    lines = [head, "", "  " + _line(_HEAD)]
    for row in rows:
        lines += _paragraph(row)
    return "\n".join(
        [*lines, "", *textwrap.wrap(LEGEND, WIDTH), *textwrap.wrap(summary(rows), WIDTH)]
    )


def brief(rows: Sequence[Row]) -> str:
    """The rows alone, as --check shows what has drifted."""
    return "\n".join(["  " + _line(_HEAD), *(line for row in rows for line in _top(row))])


def _paragraph(row: Row) -> list[str]:
    parameter = row.parameter
    return [
        *_top(row),
        *_folded("why: ", parameter.why),
        *_folded("effect: ", parameter.effect),
    ]


def _top(row: Row) -> list[str]:
    scope = "net" if row.parameter.namespaced else "host"
    recommended = row.recommended
    if row.target and row.target != recommended:
        recommended = row.target  # the better of what is there and what is recommended
    here = _HERE.get(row.status, "yes")
    cells = (row.key, row.current or "-", recommended or "-", here, scope, row.direction)
    lines = [f"{_MARKS.get(row.status, ' ')} {_line(cells)}"]
    return lines + (_folded("", row.note) if row.note else [])


def _line(cells: Sequence[str]) -> str:
    *columns, last = cells
    padded = [cell.ljust(width) for cell, width in zip(columns, _WIDTHS, strict=True)]
    return "  ".join([*padded, last]).rstrip()


def _folded(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"      {label}",
        subsequent_indent=" " * (6 + len(label)),
        break_on_hyphens=False,
        break_long_words=False,
    )


def summary(rows: Sequence[Row]) -> str:
    changes = [row for row in rows if row.status is Status.CHANGE]
    lower = sum(row.direction == "lowers" for row in changes)
    locked = sum(row.status in (Status.LOCKED, Status.UNREADABLE) for row in rows)
    absent = sum(row.status in (Status.GONE, Status.ABSENT) for row in rows)
    rest = len(rows) - len(changes) - locked - absent
    parts = [f"{len(changes)} to change" + (f" ({lower} of them lower a value)" if lower else "")]
    parts += [f"{locked} that cannot be changed from here"] if locked else []
    parts += [f"{absent} that are not here"] if absent else []
    return ", ".join([*parts, f"{rest} as recommended"])


def sockets(profile: Profile, options: Iterable[Option]) -> str:
    """The second part: what the node sets on its own sockets."""
    lines = [f"The node's TCP sockets, profile {profile} (`tuning.profile` in its configuration):"]
    for option in options:
        value = "unset" if option.value is None else str(option.value)
        lines += textwrap.wrap(
            option.why,
            WIDTH,
            initial_indent=f"  {option.name:<14}{value:<8}",
            subsequent_indent=" " * 24,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def outcomes_text(outcomes: Iterable[Outcome]) -> str:
    return "\n".join(line for each in outcomes for line in _outcome(each))


def _outcome(each: Outcome) -> list[str]:
    change = f" {each.before} -> {each.value}" if each.value else ""
    text = f": {each.text}" if each.text else ""
    line = f"{each.state:<9}  {each.key}{change}{text}"
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * 11, break_on_hyphens=False, break_long_words=False
    )


# -- for programs ---------------------------------------------------------------------------------


def row_document(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "status": row.status,
        "current": row.current or None,
        "recommended": None if row.recommended in ("", "-") else row.recommended,
        "target": row.target or None,
        "direction": row.direction or None,
        "exists": row.status not in (Status.GONE, Status.ABSENT),
        "per_network_namespace": row.parameter.namespaced,
        "group": row.parameter.group,
        "why": row.parameter.why,
        "effect": row.parameter.effect,
        "note": row.note,
    }


def document(
    machine: Machine, profile: Profile, rows: Iterable[Row], options: Iterable[Option]
) -> dict[str, Any]:
    return {
        "profile": profile,
        "machine": {
            "memory": machine.memory,
            "cores": machine.cores,
            "kernel": ".".join(map(str, machine.kernel)),
        },
        "rows": [row_document(row) for row in rows],
        "sockets": [asdict(option) for option in options],
    }


def outcome_documents(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    return [asdict(each) for each in outcomes]


def failed(outcomes: Iterable[Outcome]) -> bool:
    return any(each.state is not State.DONE for each in outcomes)
