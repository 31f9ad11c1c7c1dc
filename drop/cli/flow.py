"""`drop flow`: what the node's control plane does with flows, through its `$control` pool."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drop.cli import errors, output
from drop.cli.errors import CommandError
from drop.cli.target import open_client

Document = dict[str, Any]

#: The node's reasons to refuse, by whose fault it is.
EXIT_CODES = dict.fromkeys(("bad_flow", "not_found", "conflict", "bad_request"), errors.USAGE)


def flow_list(
    *, json: bool = False, address: str | None = None, token_file: Path | None = None
) -> int:
    """The flows of the node, their state and pools."""
    reply = control(address, token_file, "flow.list")
    if json:
        output.write_json(reply)
        return errors.OK
    if not reply["flows"]:
        sys.stderr.write("no flows: `drop flow start FILE` starts one\n")
        return errors.OK
    rows = [
        (flow["name"], flow["state"], str(len(flow["pools"])), str(flow["file"]))
        for flow in reply["flows"]
    ]
    print_table(("flow", "state", "pools", "file"), rows)
    return errors.OK


def flow_start(
    *,
    flow: str,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Starts the flow in a file, or one that the node knows by name."""
    path = Path(flow)
    is_file = path.suffix in (".yaml", ".yml") or "/" in flow or path.is_file()
    argument: Document = {"file": str(path.absolute())} if is_file else {"name": flow}
    reply = control(address, token_file, "flow.start", **argument)
    for warning in reply.get("warnings", []):
        sys.stderr.write(f"drop: warning: {warning}\n")
    for pool in reply.get("pools", []):
        if pool.get("last_error"):  # so soon: its command cannot be started
            sys.stderr.write(f"drop: warning: {pool['name']}: {_one_line(pool['last_error'])}\n")
    return _done(reply, f"flow {reply.get('name', flow)} started", json)


def flow_stop(
    *,
    flow: str,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Stops a flow; running work ends first, within the grace period."""
    reply = control(address, token_file, "flow.stop", name=flow)
    return _done(reply, f"flow {flow} stopped", json)


def flow_info(
    *,
    flow: str,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """One flow in full: its pools, their workers and what went wrong last."""
    reply = control(address, token_file, "flow.info", name=flow)
    if json:
        output.write_json(reply)
        return errors.OK
    print(f"{reply['name']}  {reply['state']}  {reply['file']}")
    rows = [row for pool in reply["pools"] for row in _pool_rows(pool)]
    print_table(("pool", "kind", "state", "worker", "pid", "since", "restarts", "command"), rows)
    for pool in reply["pools"]:
        for source in pool.get("subscriptions", []):
            filter_ = f" containing {source['filter']!r}" if source["filter"] else ""
            print(f"{pool['name']}: gets ({source['type']}) what {source['name']} answers{filter_}")
        if processes := pool.get("processes"):
            print(f"{pool['name']}: {processes_text(processes)}")
        if pool.get("last_error"):
            print(f"{pool['name']}: {_one_line(pool['last_error'])}")
    return errors.OK


def control(
    address: str | None,
    token_file: Path | None,
    op: str,
    *,
    timeout: float | None = None,
    **args: Any,
) -> Document:
    """The node's reply, within `timeout` seconds. Raises CommandError when it refuses."""
    with open_client(address, token_file, timeout) as client:
        reply = client.control(op, **args)
    if reply.get("ok"):
        return reply
    kind = str(reply.get("kind", "error"))
    code = EXIT_CODES.get(kind, errors.FUNCTION)
    raise CommandError(str(reply.get("error", "the node gave no reason")), kind, code)


def _done(reply: Document, text: str, as_json: bool) -> int:
    if as_json:
        output.write_json(reply)
    else:
        print(text)
    return errors.OK


def _pool_rows(pool: Document) -> list[tuple[str, ...]]:
    """A row for each worker; the pool's own columns on the first."""
    workers = pool["workers"] or [{}]
    own = (pool["name"], pool["kind"], pool["state"])
    return [
        (
            *(own if number == 0 else ("", "", "")),
            f"{worker.get('worker', '-')} {worker.get('state', '')}".strip(),
            str(worker.get("pid") or "-"),
            str(worker.get("since", "-")),
            str(worker.get("restarts", "-")),
            _one_line(str(pool["command"])) if number == 0 else "",
        )
        for number, worker in enumerate(workers)
    ]


def processes_text(figures: Document) -> str:
    """Of a pool of kind exec, for people."""
    return (
        f"{figures['running']} processes with a message, {figures['ready']} ready, "
        f"{figures['starting']} starting, {figures['started']} started in all"
    )


def _one_line(text: str) -> str:
    """A command may hold a program of many lines; a table has one for it."""
    return text.replace("\n", "\\n")


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Plain columns, as wide as what is in them: they are piped to awk as often as read."""
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
