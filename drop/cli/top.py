"""`drop top`: the pools of a node, live. Rates are differences of two statistics of the node."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drop.cli import errors, output
from drop.cli.errors import UsageError
from drop.cli.target import address_of, open_client
from drop.client import Client

if TYPE_CHECKING:
    from rich.table import Table

Document = dict[str, Any]

COLUMNS = ("pool", "kind", "answers/s", "waiting", "running", "workers", "p50 us", "p99 us",
           "errors", "dropped")  # fmt: skip


def top(
    *,
    interval: float = 1.0,
    once: bool = False,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Shows every `interval` seconds what happened since the last time, until Ctrl-C."""
    if not interval > 0:
        raise UsageError(f"--interval {interval:g}: expected more than 0 seconds")
    where = str(address_of(address))
    with open_client(address, token_file) as client:
        views = watch(client, interval)
        try:
            if json:
                for view in views:
                    output.write_json(view)
                    if once:
                        break
            elif once or not sys.stdout.isatty():
                _print(table(next(views), where))
            else:
                _live(views, where)
        except KeyboardInterrupt:
            pass
    return errors.OK


def watch(client: Client, interval: float) -> Iterator[Document]:
    """A view each interval; the first comes after one interval, since a rate needs two looks."""
    before, then = client.statistics(), time.monotonic()
    while True:
        time.sleep(interval)
        after, now = client.statistics(), time.monotonic()
        yield view_of(before, after, now - then)
        before, then = after, now


def view_of(before: Document, after: Document, seconds: float) -> Document:
    """The pools with their rates, busiest first, without those of the node itself ($control)."""
    old = {pool["name"]: pool for pool in before["pools"]}
    pools = [pool for pool in after["pools"] if not pool["name"].startswith("$")]
    rows = [row_of(old.get(pool["name"], {}), pool, seconds) for pool in pools]
    rows.sort(key=lambda row: (-row["answers_per_second"], row["name"]))
    return {
        "node": after["node"],
        "uptime_ms": after["uptime_ms"],
        "connections": after["connections"],
        "pools": rows,
    }


def row_of(old: Document, new: Document, seconds: float) -> Document:
    """One pool. A counter that went back belongs to a pool that was started again: no rate."""
    answered = new["answers"] - old.get("answers", 0)
    failed = sum(new["errors"].values())
    latency = new["latency_us"]
    return {
        "name": new["name"],
        "kind": new["kind"],
        "answers_per_second": round(max(answered, 0) / seconds, 1),
        "waiting": new["waiting"],
        "inflight": new["inflight"],
        "workers": new["workers"],
        "refusing": new["refusing"],
        "p50_us": latency["p50"],
        "p99_us": latency["p99"],
        "errors": failed,
        "errors_since": max(failed - sum(old.get("errors", {}).values()), 0),
        "dropped": sum(new["dropped"].values()),
    }


def table(view: Document, address: str) -> Table:
    """The view for people; red: errors since the last look, and pools that nobody serves."""
    from rich.table import Table
    from rich.text import Text

    uptime = timedelta(seconds=view["uptime_ms"] // 1000)
    title = f"{view['node']} at {address}, up {uptime}"
    shown = Table(title=Text(title), title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        left = column in ("pool", "kind")
        # A narrow terminal costs the ends of long names, never a digit.
        shown.add_column(column, justify="left" if left else "right", no_wrap=column != "pool")
    for row in view["pools"]:
        alone = row["refusing"] or not row["workers"]
        cells = [
            Text(row["name"]),
            Text(row["kind"]),
            Text(f"{row['answers_per_second']:,.0f}"),
            Text(f"{row['waiting']:,}"),
            Text(f"{row['inflight']:,}"),
            Text(str(row["workers"]), style="red" if alone else ""),
            Text(f"{row['p50_us']:,.0f}"),
            Text(f"{row['p99_us']:,.0f}"),
            Text(f"{row['errors']:,}", style="red" if row["errors_since"] else ""),
            Text(f"{row['dropped']:,}"),
        ]
        shown.add_row(*cells)
    if not view["pools"]:
        shown.caption = "no pools: `drop flow start FILE` starts some"
    return shown


def _print(shown: Table) -> None:
    from rich.console import Console

    Console().print(shown)


def _live(views: Iterator[Document], address: str) -> None:
    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        for view in views:
            live.update(table(view, address), refresh=True)
