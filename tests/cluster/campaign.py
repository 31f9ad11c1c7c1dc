"""How long real nodes take to see each other, and to miss one: figures, and a bound for each.

    PYTHONPATH=tests python -m cluster.campaign [--nodes 5] [--rounds 5] [--loss-minutes 10]

`make chaos` runs it. Each node is a `drop-node run` in a network namespace of its own, with default
settings. Times are from what is done (the process is started, killed, its cable cut) to the moment
that the last of the others lists it so; the exit status is 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import namespaces
from cluster.fleet import Fleet, Host
from namespaces import Network

BOUNDS = {  # seconds; what the documentation promises
    "appears": 1.5,
    "killed": 5.0,
    "cut": 5.0,
    "plugged in": 5.0,
    "parted": 5.0,
    "healed": 5.0,
}


class Figures:
    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.failed = False

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        print(f"{name}: {seconds:.2f} s", flush=True)

    def summary(self) -> None:
        for name, found in self.seconds.items():
            bound = BOUNDS[name]
            missed = max(found) > bound
            self.failed |= missed
            print(
                f"{name:<12} median {statistics.median(found):5.2f}  max {max(found):5.2f}  "
                f"bound {bound:.1f}{'  MISSED' if missed else ''}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="Figures of discovery on real networks.")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss-minutes", type=float, default=10.0)
    options = parser.parse_args()
    if why := namespaces.why_not():
        sys.exit(why)
    figures = Figures()
    with (
        tempfile.TemporaryDirectory(prefix="drop-") as directory,
        Network(options.nodes) as network,
        Fleet(network, Path(directory)) as fleet,
    ):
        fleet.start()
        fleet.meet()
        for number in range(options.rounds):
            one_round(fleet, number % options.nodes, figures)
        deaths = under_loss(fleet, options.loss_minutes * 60)
    figures.summary()
    print(f"20 % loss for {options.loss_minutes:g} min: {deaths} false deaths")
    return int(figures.failed or deaths > 0)


def one_round(fleet: Fleet, number: int, figures: Figures) -> None:
    """Everything that can happen to one node."""
    name, host = f"n{number}", fleet[number]
    others = [each for each in fleet.hosts if each is not host]

    def last(state: str) -> Callable[[], float]:
        return lambda: until(others, name, state)

    host.end()
    host.running.process.send_signal(signal.SIGKILL)
    host.running.process.wait()
    figures.add("killed", last("dead")())
    begin = time.monotonic()
    host.running.start()
    host.connect()
    last("alive")()
    figures.add("appears", time.monotonic() - begin)
    fleet.meet()
    fleet.network.cut(number)
    figures.add("cut", last("dead")())
    fleet.network.plug(number)
    figures.add("plugged in", last("alive")())
    fleet.meet()
    part(fleet, number, figures)


def part(fleet: Fleet, number: int, figures: Figures) -> None:
    """Two sides; `number` is on the smaller one, with its neighbour."""
    count = len(fleet.hosts)
    small = {number, (number + 1) % count}
    large = set(range(count)) - small
    begin = time.monotonic()
    fleet.network.partition(small, large)
    for side, away in ((small, large), (large, small)):
        for here in side:
            for there in away:
                until([fleet[here]], f"n{there}", "dead")
    figures.add("parted", time.monotonic() - begin)
    begin = time.monotonic()
    fleet.network.heal()
    fleet.meet()
    figures.add("healed", time.monotonic() - begin)


def until(hosts: list[Host], name: str, state: str) -> float:
    """Seconds until all of them list `name` so."""
    begin = time.monotonic()
    for host in hosts:
        host.wait(lambda states: states.get(name) == state, f"{name} is {state}")
    return time.monotonic() - begin


def under_loss(fleet: Fleet, seconds: float) -> int:
    """How often a node was taken for dead while every fifth packet was lost."""
    revisions = [host.ask("node.list")["revision"] for host in fleet.hosts]
    fleet.network.loss(20)
    deaths, suspects, end = 0, 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for number, host in enumerate(fleet.hosts):
            reply = host.ask(
                "node.watch", revision=revisions[number], seconds=min(left, 1.0) / len(fleet.hosts)
            )
            revisions[number] = reply["revision"]
            for change in reply["changes"]:
                deaths += change["state"] == "dead"
                suspects += change["state"] == "suspect"
                if change["state"] == "dead":
                    print(f"n{number}: {change}", flush=True)
    fleet.network.loss(0)
    print(f"suspected {suspects} times in {seconds:.0f} s", flush=True)
    return deaths


if __name__ == "__main__":
    sys.exit(main())
