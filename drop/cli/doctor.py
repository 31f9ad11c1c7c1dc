"""`drop doctor`: a table of what workers are kept from here, what is off, why, and what to do."""

from __future__ import annotations

import textwrap
from dataclasses import asdict

from drop.cli import errors, output
from drop.host.accounts import own
from drop.host.doctor import Protection, examine

WIDTH = 100


def doctor(*, worker_user: str | None = None, json: bool = False) -> int:
    """For a node that would be started here, by this user. 1 when a protection is off."""
    found = examine(worker_user)
    if json:
        for each in found:
            output.write_json(asdict(each))
    else:
        print(table(found, own().name))
    return errors.OK if all(each.on for each in found) else errors.FUNCTION


def table(found: list[Protection], user: str) -> str:
    """For people: one paragraph a line, long ones folded below their column."""
    width = max(len(each.name) for each in found)
    lines = [f"Workers of a node that is started here by {user}:", ""]
    for each in found:
        head = f"{'on ' if each.on else 'OFF'}  {each.name:<{width}}  "
        lines += _folded(head, each.detail)
        if each.remedy:
            lines += _folded(" " * len(head) + "-> ", each.remedy)
    off = sum(not each.on for each in found)
    return "\n".join([*lines, "", f"{off} of {len(found)} are off" if off else "all are on"])


def _folded(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=False,
    )
