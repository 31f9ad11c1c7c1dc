"""`drop node interfaces`: which network interface the node uses, why, and what else there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from drop.cli import errors, output
from drop.cli.flow import control, print_table
from drop.errors import ConfigurationError, ConnectionLost

Document = dict[str, Any]

COLUMNS = ("interface", "state", "addresses", "verdict")
ADDRESSES_SHOWN_MAX = 3  # --json has all

NOBODY = (
    "no node is reached: this is what one would use that is started here now, if its environment"
    " says the same"
)


def node_interfaces(
    *, json: bool = False, address: str | None = None, token_file: Path | None = None
) -> int:
    """Of the running node; without one, what it would choose here. 1 when there is none to use."""
    try:
        found = {**control(address, token_file, "node.interfaces"), "running": True}
    except ConnectionLost as error:
        if address or os.environ.get("DROP_ADDRESS"):
            raise
        sys.stderr.write(f"drop: {error}\n")  # it may run, and not be for this user
        found = {**look_here(), "running": False}
    if json:
        output.write_json(found)
    else:
        print_table(COLUMNS, rows(found))
        print(f"\n{found['why']}")
        for note in notes(found):
            sys.stderr.write(f"drop: {note}\n")
    return errors.OK if found["choice"] else errors.FUNCTION


def rows(document: Document) -> list[tuple[str, ...]]:
    """One for each candidate."""
    return [
        (each["name"], each["state"], _addresses(each["addresses"]), each["verdict"])
        for each in document["candidates"]
    ]


def notes(document: Document) -> list[str]:
    """What a person has to know besides."""
    found = [] if document["running"] else [NOBODY]
    if document["warning"]:
        found.append(f"warning: {document['warning']}")
    if document.get("fault"):
        found.append(document["fault"])
    return [*found, *document.get("unread", [])]


def look_here() -> Document:
    """What a node would choose that is started on this machine now."""
    # Late: the usual way asks the node, and needs none of it.
    from drop.host import iface_variable, interfaces

    named = iface_variable.find(os.environ)
    try:
        from drop.host.netlink import look

        choice = interfaces.choose(*look(), named.wanted)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("pyroute2"):
            raise
        raise ModuleNotFoundError(
            "pyroute2 is not installed; `pip install 'drop-platform[node]'`", name=error.name
        ) from None
    unread: list[ConfigurationError] = list(named.warnings)
    return {
        **interfaces.document(choice, named.wanted),
        **({"unread": [str(each) for each in unread]} if unread else {}),
    }


def _addresses(addresses: list[str]) -> str:
    shown = ", ".join(addresses[:ADDRESSES_SHOWN_MAX]) or "-"
    more = len(addresses) - ADDRESSES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown
