"""Up to 1 000 whole nodes on one clock and one network, and what goes wrong, all from a seed.

A run is a row of rounds: something happens (faults for a while, then quiet), and then everybody has
to know who is there. `python -m drop.testing.simulation --seeds 100` looks for a seed that fails; a
failure prints the seed and the size, and the same two numbers give the same run again.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable

from drop.cluster.member import Changed, State, Timing
from drop.testing.clock import FakeClock
from drop.testing.simulated_network import SLOW_FACTOR, Network, Weather
from drop.testing.simulated_node import Disk, SimulatedNode

TIMING = Timing(suspect_ms=2000, dead_ms=4000)
QUIET_SECONDS = 5.0
"""After which everybody knows: dead_ms and a second, which is also what healing may take."""
SETTLING_SECONDS = 12.0
"""The same with clones: they have to find each other first, and their old id to be found dead."""
MEETING_MAX = 200
"""Nodes that start and meet; a larger run begins when they know each other."""
GONE = (State.DEAD, State.LEFT)


class SimulationFailed(AssertionError):
    """An invariant does not hold; the text has the seed."""


class Simulation:
    def __init__(self, seed: int, nodes: int, *, keep_s: float = 60.0) -> None:
        self.seed, self.size = seed, nodes
        self.dice = random.Random(seed)
        self.clock = FakeClock(seed)
        self.network = Network(self.clock, self.dice)
        self.timing = Timing(TIMING.suspect_ms, TIMING.dead_ms, keep_s=keep_s)
        self.story: list[str] = []
        self.deaths_are_false = False
        """While nothing but loss and delay goes on, nobody who lives may be found dead."""
        self.is_alone = True
        """Nothing else happens in this round."""
        for number in range(nodes):
            self.add(f"n{number}", Disk(self.dice.randbytes(16)))

    @property
    def nodes(self) -> list[SimulatedNode]:
        return self.network.nodes

    def add(self, name: str, disk: Disk) -> SimulatedNode:
        node = SimulatedNode(name, disk, self.network, self.dice, self.timing, self.on_change)
        self.nodes.append(node)
        return node

    def on_change(self, observer: SimulatedNode, change: Changed) -> None:
        if change.after is State.DEAD and self.deaths_are_false:
            for node in self.nodes:
                if node.is_up and node.life.order == (
                    change.member.incarnation,
                    change.member.facts.session,
                ):
                    self.fail(f"{observer.name} took {node.name} for dead: {change.why}")

    def fail(self, text: str) -> None:
        story = "\n  ".join(self.story[-12:])
        raise SimulationFailed(
            f"{text}\nat {self.clock.now() - 1000:.2f} s, after\n  {story}\n"
            f"again by: python -m drop.testing.simulation --seed {self.seed} --nodes {self.size}"
        )

    def tell(self, text: str) -> None:
        self.story.append(f"{self.clock.now() - 1000:8.2f} s  {text}")

    # --- the course of things ---

    def begin(self) -> None:
        """All start within a second."""
        self.tell(f"{self.size} nodes start")
        for node in self.nodes:
            self.clock.call_later(self.dice.random(), node.start)
        self.clock.advance(1.0)
        self.settle(QUIET_SECONDS)

    def begin_in_the_middle(self) -> None:
        """All run and know each other: to meet takes a thousand nodes a million questions."""
        self.tell(f"{self.size} nodes know each other")
        for node in self.nodes:
            node.start(is_new=False)
        gc.disable()  # some millions of objects are made, and none of them is garbage
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    node.meet_already(other)
        gc.freeze()
        gc.enable()

    def settle(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.check()

    def check(self) -> None:
        """Everybody who is up knows exactly who is up, on its side of a cut."""
        up = [node for node in self.nodes if node.is_up]
        ids = [node.disk.node_id for node in up]
        if len(set(ids)) < len(ids):
            twins = sorted(node.name for node in up if ids.count(node.disk.node_id) > 1)
            self.fail(f"{', '.join(twins)} have one id")
        everybody = {node.disk.node_id: node for node in up}
        cut = self.network.sides or self.network.cuts
        for observer in up:
            expected = {
                node_id: node
                for node_id, node in everybody.items()
                if not cut or self.network.reaches(node, observer)
            }
            del expected[observer.disk.node_id]
            self._check_view(observer, expected)

    def _check_view(self, observer: SimulatedNode, expected: dict[bytes, SimulatedNode]) -> None:
        members = observer.membership.members
        for node_id, node in expected.items():
            member = members.get(node_id)
            if member is None or member.state is not State.ALIVE:
                self.fail(f"{observer.name} sees {node.name} as {member and member.state}")
                return
            if member.facts is not node.life.facts:  # there is one of each
                self.fail(f"{observer.name} has old news of {node.name}: {member.facts}")
        for node_id, member in members.items():
            if node_id not in expected and member.state not in GONE:
                self.fail(f"{observer.name} sees {member.facts.name}, which is not there, as alive")
            if observer.view.get(node_id) is not member.state:
                self.fail(f"{observer.name} did not say that {member.facts.name} {member.why}")
        if len(members) != len(observer.view):
            self.fail(f"{observer.name} has dropped members without a word")

    # --- what may happen ---

    def some(self, up: bool = True, most: int = 3) -> list[SimulatedNode]:
        """A few of those that are up, never all of them; or of those that are down."""
        among = [node for node in self.nodes if node.is_up is up]
        return self.dice.sample(among, min(self.dice.randint(1, most), len(among) - up))

    def kills(self) -> float:
        chosen = self.some()
        self.tell(f"kill -9 of {_names(chosen)}")
        for node in chosen:
            node.kill()
        if self.dice.random() < 0.5:
            self.clock.call_later(self.dice.uniform(0, 8), self.network.replay)
        return 0.0

    def leaves(self) -> float:
        chosen = self.some()
        self.tell(f"{_names(chosen)} say goodbye")
        for node in chosen:
            node.leave()
        return 0.0

    def restarts(self) -> float:
        """Of some that are down, and of some that are up, at once or after a while."""
        chosen = self.some(up=False) + self.some()
        self.tell(f"{_names(chosen)} restart")
        for node in chosen:
            if node.is_up:
                node.kill()
            self.clock.call_later(self.dice.choice((0.0, 1.0, 3.0, 5.0)), node.start)
        return 5.0

    def clones(self) -> float:
        """Copies of a disk come up beside the original, or without it."""
        chosen = self.some(most=2)
        self.tell(f"clones of {_names(chosen)} start")
        for node in chosen:
            for number in range(self.dice.randint(1, 2)):
                disk = Disk(node.disk.node_id, node.disk.incarnation)
                copy = self.add(f"{node.name}c{len(self.nodes)}", disk)
                if self.dice.random() < 0.3:  # two machines whose clocks agree
                    copy.wall_offset_ms = node.wall_offset_ms
                self.clock.call_later(self.dice.random() * number, copy.start)
        return SETTLING_SECONDS

    def pauses(self) -> float:
        chosen = self.some()
        seconds = self.dice.choice((0.5, 1.5, 3.0, 6.0, 30.0))
        self.tell(f"{_names(chosen)} are stopped for {seconds} s")
        for node in chosen:
            node.stop()
            self.clock.call_later(seconds, node.resume)
        return seconds

    def clocks(self) -> float:
        chosen = self.some()
        self.tell(f"the time of day of {_names(chosen)} jumps")
        for node in chosen:
            node.wall_offset_ms += self.dice.choice((-1, 1)) * self.dice.randrange(10**10)
        return 0.0

    def losses(self) -> float:
        """A fifth of all packets; nobody is found dead by that alone."""
        seconds = self.dice.choice((5.0, 20.0))
        self.tell(f"20 % loss for {seconds} s")
        self.network.weather = Weather(loss=0.2, doubled=0.1, delay_max=0.1)
        return seconds

    def storms(self) -> float:
        seconds = self.dice.choice((2.0, 10.0))
        self.tell(f"a storm for {seconds} s")
        self.network.weather = Weather(loss=0.6, doubled=0.3, delay_max=0.5)
        return seconds

    def partitions(self) -> float:
        sides, seconds = self.dice.randint(2, 3), self.dice.choice((1.0, 3.0, 10.0))
        self.tell(f"a partition into {sides} for {seconds} s")
        self.network.sides = {node: self.dice.randrange(sides) for node in self.nodes}
        if self.is_alone and seconds > QUIET_SECONDS:
            self.settle(QUIET_SECONDS)  # each side knows itself
        return seconds

    def one_way_cuts(self) -> float:
        seconds = self.dice.choice((1.0, 3.0, 10.0))
        self.tell(f"one-way cuts for {seconds} s")
        up = [node for node in self.nodes if node.is_up]
        self.network.cuts = {
            (self.dice.choice(up), self.dice.choice(up)) for _ in range(2 * len(up))
        }
        return seconds

    def renames(self) -> float:
        chosen = self.some()
        self.tell(f"{_names(chosen)} get new names")
        for node in chosen:
            node.rename(f"{node.name}r")
        return 0.0

    def round(self) -> None:
        """A calamity or two, then an end to it, then quiet."""
        kinds: list[Callable[[], float]] = [
            *(self.kills, self.leaves, self.restarts, self.clones, self.pauses, self.clocks),
            *(self.losses, self.storms, self.partitions, self.one_way_cuts, self.renames),
        ]
        chosen = self.dice.sample(kinds, self.dice.choice((1, 1, 2, 3)))
        self.is_alone = len(chosen) == 1
        self.deaths_are_false = chosen == [self.losses]
        for kind in chosen:
            self.clock.advance(kind())
        self.deaths_are_false = False
        self.tell("an end to it")
        for node in self.nodes:
            node.resume()
        slowest = self.network.weather.delay_max * SLOW_FACTOR
        self.network.heal()
        self.clock.advance(slowest)  # packets that are on their way tell of the time before
        self.settle(SETTLING_SECONDS if self._has_twins() else QUIET_SECONDS)

    def _has_twins(self) -> bool:
        """Two in one id meet only now."""
        ids = [node.disk.node_id for node in self.nodes if node.is_up]
        return len(set(ids)) < len(ids)


def _names(nodes: list[SimulatedNode]) -> str:
    return ", ".join(node.name for node in nodes) or "nobody"


def run(seed: int, nodes: int, rounds: int) -> Simulation:
    """Raises SimulationFailed."""
    simulation = Simulation(seed, nodes)
    try:
        simulation.begin() if nodes <= MEETING_MAX else simulation.begin_in_the_middle()
        for _ in range(rounds):
            simulation.round()
    except SimulationFailed:
        raise
    except Exception as error:
        simulation.fail(f"{type(error).__name__}: {error}")
    return simulation


def main() -> int:
    parser = argparse.ArgumentParser(description="Looks for seeds under which nodes disagree.")
    parser.add_argument("--seed", type=int, help="this one only")
    parser.add_argument("--seeds", type=int, default=50, help="how many (50)")
    parser.add_argument("--nodes", type=int, default=0, help="how many; else 5 to 60, by the seed")
    parser.add_argument("--rounds", type=int, default=6, help="calamities (6)")
    options = parser.parse_args()
    gc.freeze()
    seeds = [options.seed] if options.seed is not None else range(options.seeds)
    for seed in seeds:
        nodes = options.nodes or random.Random(seed).randint(5, 60)
        began = time.monotonic()
        try:
            simulation = run(seed, nodes, options.rounds)
        except SimulationFailed as failure:
            sys.stdout.write(f"seed {seed}, {nodes} nodes: {failure}\n")
            return 1
        simulated = simulation.clock.now() - 1000
        sys.stdout.write(
            f"seed {seed}, {nodes} nodes: {simulated:.0f} s simulated in "
            f"{time.monotonic() - began:.1f} s, {simulation.network.sent} packets sent\n"
        )
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
