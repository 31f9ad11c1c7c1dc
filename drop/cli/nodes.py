"""`drop node`: the nodes that this one knows of, as its control plane sees them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from drop.cli import errors, output
from drop.cli.flow import control, print_table

Document = dict[str, Any]

WATCH_SECONDS = 20.0
"""How long the node holds a question for changes; then it is asked again."""

COLUMNS = ("node", "state", "namespace", "address", "load", "memory", "workers", "heard", "id")
HARMLESS = ("own", "stale")
"""Packets that are dropped in the ordinary course of things."""


def node_list(
    *, json: bool = False, address: str | None = None, token_file: Path | None = None
) -> int:
    """All nodes that have been seen, also free ones, and this node itself."""
    reply = control(address, token_file, "node.list")
    if json:
        output.write_json(reply)
        return errors.OK
    print_table(COLUMNS, [_row(node) for node in reply["nodes"]])
    for note in _notes(reply):
        sys.stderr.write(f"drop: {note}\n")
    return errors.OK


def node_watch(
    *, json: bool = False, address: str | None = None, token_file: Path | None = None
) -> int:
    """A line for each change: a node appears, is suspected, dies, leaves, comes back."""
    reply = control(address, token_file, "node.list")
    for note in _notes(reply):
        sys.stderr.write(f"drop: {note}\n")
    revision = reply["revision"]
    while True:
        reply = control(
            address,
            token_file,
            "node.watch",
            timeout=WATCH_SECONDS + 10,
            revision=revision,
            seconds=WATCH_SECONDS,
        )
        revision = reply["revision"]
        if reply["missed"]:
            sys.stderr.write("drop: some changes were missed: `drop node list` shows all\n")
        for change in reply["changes"]:
            if json:
                output.write_json(change)
            else:
                print(_line(change), flush=True)


def node_forget(
    *,
    node: str,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Takes a node that is dead or has left off the list."""
    reply = control(address, token_file, "node.forget", node=node)
    if json:
        output.write_json(reply)
    else:
        print(
            f"{reply['name']} ({reply['id'][:8]}) is forgotten; if it comes back it is listed anew"
        )
    return errors.OK


def _row(node: Document) -> tuple[str, ...]:
    load, memory, workers = node.get("load"), node.get("memory_mib"), node.get("workers")
    return (
        node["name"] + (" *" if node["state"] == "self" else ""),
        "alive" if node["state"] == "self" else node["state"],
        node["namespace"] or "free",
        node["addresses"][0] if node["addresses"] else "-",
        "-" if load is None else f"{load:.2f} of {node['cpus']}",
        "-" if memory is None else f"{memory} MiB",
        "-" if workers is None else str(workers),
        _heard(node),
        node["id"][:8] if node["id"] else "-",
    )


def _heard(node: Document) -> str:
    if node["state"] == "self":
        return "this node"
    if node.get("silent_ms") is not None:
        return f"{node['silent_ms'] / 1000:.1f} s ago"
    return f"{node['state']} since {node['since']}"


def _line(change: Document) -> str:
    where = change["addresses"][0] if change["addresses"] else "-"
    state = change["state"] or "forgotten"
    return (
        f"{change['time']}  {change['name']}  {where}  {change['id'][:8]}  {state}: {change['why']}"
    )


def _notes(reply: Document) -> list[str]:
    """What keeps nodes from finding each other, as far as this one can tell."""
    beacons = reply["beacons"]
    notes = [beacons["reason"]] if beacons["reason"] else []
    notes += [f"warning: {each}" for each in beacons.get("warnings", [])]
    dropped = {
        reason: count
        for reason, count in beacons["dropped"].items()
        if count and reason not in HARMLESS
    }
    if dropped:
        told = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        notes.append(f"packets dropped since this node started: {told}")
    if dropped.get("foreign"):
        notes.append(
            "`foreign`: a node here has another key; `drop key show` prints which key a node has"
        )
    if reply["unverified"]:
        names = ", ".join(
            sorted({f"{each['name']} ({each['source']})" for each in reply["unverified"]})
        )
        notes.append(
            f"heard, but does not answer: {names}; is its UDP port {beacons['port']} open to us?"
        )
    return notes
