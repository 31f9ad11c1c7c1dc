"""What `make run` shows: a node, a flow of programs in six languages, and a month of flights.

Builds the functions, starts a node with flights.yml, sends it every record, shows answers and rates
as they come, compares the result with `expected.py`, and leaves the node running for you.
"""

import argparse
import asyncio
import io
import os
import shutil
import sys
import time
from pathlib import Path

import expected
import toolchain
from feed import Feed
from node import Node, NodeFailed, command, default_directory

from drop.client import AsyncClient
from drop.errors import DropError

FLOW = toolchain.HERE / "flights.yml"
REFRESH_S = 0.1  # on a terminal
REPORT_S = 1.0  # in a file or a pipe


class Display:
    """Progress, redrawn in place on a terminal; elsewhere one line a second."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.live = sys.stdout.isatty()
        self.started = self.shown = time.monotonic()
        self.drawn = 0

    def update(self) -> None:
        now = time.monotonic()
        if now - self.shown < (REFRESH_S if self.live else REPORT_S):
            return
        self.shown = now
        self.draw()

    def draw(self) -> None:
        lines = self.lines() if self.live else self.lines()[:1]
        if self.drawn and self.live:
            print(f"\x1b[{self.drawn}F\x1b[J", end="")
        print("\n".join(lines), flush=True)
        self.drawn = len(lines)

    def lines(self) -> list[str]:
        feed, seconds = self.feed, time.monotonic() - self.started
        records = f"{feed.sent:,} of {len(feed.records):,} records, {feed.sent / seconds:,.0f}/s"
        lines = (
            f"  parse            {records}; {feed.function_runs / seconds:,.0f} function runs/s",
            f"  carrier_report   {feed.carriers.latest}",
            f"  hour_report      {feed.hours.latest}",
            f"  cancelled        {feed.cancellations.latest}",
        )
        width = shutil.get_terminal_size().columns - 1
        return [line[:width] for line in lines]


def main() -> int:
    options = arguments()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the bars, where the terminal is not UTF-8
    toolchain.main()
    node = Node(options.var_dir)
    try:
        ready(node)
        started = time.monotonic()
        feed = asyncio.run(send(node))
    except (NodeFailed, DropError) as error:
        print(f"examples: {error}", file=sys.stderr)
        return 1
    except ExceptionGroup as group:  # of the tasks that watch the flow
        print(f"examples: the flow failed: {group.exceptions}; see {node.log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nexamples: interrupted; the node goes on (process {node.pid()})", file=sys.stderr)
        return 130
    same = show(feed, time.monotonic() - started)
    invite(node)
    return 0 if same else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--var-dir", type=Path, default=default_directory(), help="where the node keeps its files"
    )
    return parser.parse_args()


def ready(node: Node) -> None:
    pid = node.pid()
    if pid is None:
        print(f"starting a node in {node.directory}")
        node.start(FLOW)
    else:
        print(f"a node runs already in {node.directory} (process {pid}): using it, flow restarted")
        node.restart_flow(FLOW)


async def send(node: Node) -> Feed:
    """Sends all records through the flow, and shows how it goes."""
    async with AsyncClient(node.address) as client:
        feed = Feed(client, expected.records())
        print(f"sending {len(feed.records):,} flights (data/README.md) into the flow {FLOW.name}:")
        display = Display(feed)
        await feed.run(display.update)
        display.draw()
        return feed


def show(feed: Feed, seconds: float) -> bool:
    """Prints the result and whether it is right."""
    print(f"\nWho was late (15 minutes or more), of {feed.carriers.flights:,} flights:")
    print_columns(feed.carriers.latest.split(" | ")[1:])
    chart, *hours = feed.hours.latest.split(" | ")[1:]
    print(
        f"\nMinutes of delay at JFK by hour of departure, {feed.hours.flights:,} flights:  {chart}"
    )
    print_columns(hours)
    print(f"\nCancelled: {feed.cancellations.latest}")
    found = expected.read(feed.carriers.latest, feed.hours.latest, feed.cancellations.latest)
    same = found == expected.expected()
    verdict = "equal to" if same else "DIFFERENT from"
    print(f"\nThe result is {verdict} an independent computation (expected.py).")
    print(f"{feed.function_runs:,} function runs in {seconds:.1f} s.")
    return same


def print_columns(cells: list[str]) -> None:
    width = max(map(len, cells)) + 3
    count = max(1, (shutil.get_terminal_size().columns - 2) // width)
    for start in range(0, len(cells), count):
        row = "".join(cell.ljust(width) for cell in cells[start : start + count])
        print(f"  {row.rstrip()}")


def invite(node: Node) -> None:
    drop = os.path.relpath(command("drop"))
    print(
        f"""
The node goes on (process {node.pid()}, log {os.path.relpath(node.log)}). Try:

  export DROP_ADDRESS={node.address}
  {drop} call parse 1,1830,45,60,B6,915,JFK,ORD,120,740
  {drop} call grade 'flown arr_delay=60 air_time=120 distance=740'
  {drop} subscribe carrier_report
  {drop} flow list
  {drop} bench parse --connections 4 --depth 64 --size 100 --seconds 3
  {drop} top
  kill {node.pid()}    # stops the node"""
    )


if __name__ == "__main__":
    sys.exit(main())
