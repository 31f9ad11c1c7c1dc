"""What it costs to keep track of 1 000 nodes: CPU time per second of a node's life, and memory.

    python -m bench.membership [--nodes 1000] [--seconds 600]

The membership alone, as a node in a healthy namespace drives it: a tick each 250 ms, in which five
in a thousand are silent for a moment; a node says something new each second; one dies each minute.
Beacons that say nothing new do not reach it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc

from drop.cluster.membership import TICK_SECONDS, Facts, Membership, Timing

SILENT_SHARE = 0.005


def facts(number: int, incarnation: int = 1, namespace: str = "shop") -> Facts:
    return Facts(
        node_id=number.to_bytes(16, "big"),
        incarnation=incarnation,
        session=number,
        name=f"node-{number}",
        namespace=namespace,
        version="1.0.0",
        port=8085,
        addresses=(f"10.0.{number >> 8}.{number & 255}", f"fd00::{number:x}"),
        source=f"10.0.{number >> 8}.{number & 255}",
        key_id="0a1b2c3d",
    )


def filled(nodes: int) -> Membership:
    membership = Membership(Timing(2000, 4000), bytes(16))
    for number in range(1, nodes + 1):
        membership.heard(facts(number), 0.0)
    return membership


def live(membership: Membership, nodes: int, seconds: int) -> tuple[float, int]:
    """CPU seconds that the membership took, and how many actions it wanted."""
    dice, dead, took, actions = random.Random(1), dict[int, float](), 0.0, 0
    for tick in range(int(seconds / TICK_SECONDS)):
        now = tick * TICK_SECONDS
        if tick % 240 == 0:
            dead[dice.randint(1, nodes)] = now
        silent = {n.to_bytes(16, "big"): int((now - at) * 1000) for n, at in dead.items()}
        silent = {node_id: ms for node_id, ms in silent.items() if ms >= 2000}
        for number in dice.sample(range(1, nodes + 1), int(nodes * SILENT_SHARE)):
            silent.setdefault(number.to_bytes(16, "big"), 2100)
        news = facts(dice.randint(1, nodes), namespace=f"shop-{tick}") if tick % 4 == 0 else None
        back = [number for number, at in dead.items() if now - at > 30.0]
        began = time.process_time()
        actions += len(membership.tick(now, silent, False))
        if news:
            actions += len(membership.heard(news, now))
        for number in back:
            actions += len(membership.heard(facts(number, 2 + tick), now))
        took += time.process_time() - began
        for number in back:
            del dead[number]
    return took, actions


def main() -> int:
    parser = argparse.ArgumentParser(description="The cost of keeping track of nodes.")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    tracemalloc.start()
    membership = filled(options.nodes)
    full = tracemalloc.get_traced_memory()[0]
    live(membership, options.nodes, options.seconds)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    membership = filled(options.nodes)
    took, actions = live(membership, options.nodes, options.seconds)
    sys.stdout.write(
        f"{options.nodes} nodes: {100 * took / options.seconds:.3f} % of a core, "
        f"{actions / options.seconds:.1f} actions/s, {full / (1 << 20):.2f} MiB, "
        f"{after / (1 << 20):.2f} MiB after {options.seconds} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
