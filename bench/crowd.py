"""What it costs a node to know a crowd: its CPU time and memory while so many others are there.

    python -m bench.crowd [--nodes 1000] [--seconds 20]

The node is a real `drop-node run` on the loopback interface. The others are sockets of this
process that send signed beacons twice a second each and prove themselves as nodes do; the node's
own part is measured, beside the same node alone.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import struct
import time
from dataclasses import dataclass

from bench.flood import KEY
from bench.system.node import Node
from drop.testing.beacons import Beacon, encode

PORT = 8186  # not that of a node that runs here
INTERVAL = 0.5
MEET_SECONDS_MAX = 60.0
NONCE = struct.Struct(">5xB50xQ")  # of a packet: its type and its nonce
PROBE = 2
ENVIRONMENT = {"DROP_IFACE": "lo", "DROP_DISCOVERY_PORT": str(PORT)}


@dataclass
class Other:
    socket: socket.socket
    beacon: Beacon
    due: float

    def say(self, nonce: int = 0) -> None:
        self.beacon = self.beacon.next(nonce=nonce)
        self.socket.send(encode(self.beacon, KEY))


class Crowd:
    def __init__(self, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._others = [self._other(number, count) for number in range(count)]

    def _other(self, number: int, count: int) -> Other:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.connect(("127.0.0.1", PORT))
        beacon = Beacon(os.urandom(16), 1, 7, 0, name=f"n{number}", addresses=("10.0.0.1",))
        other = Other(made, beacon, time.monotonic() + INTERVAL * number / count)
        self._selector.register(made, selectors.EVENT_READ, other)
        return other

    def live(self, until: float) -> None:
        """Beacons in their time, answers at once."""
        while (now := time.monotonic()) < until:
            for other in self._others:
                if other.due <= now:
                    other.due += INTERVAL
                    other.say()
            for key, _ in self._selector.select(0.005):
                self._answer(key.data)

    def _answer(self, other: Other) -> None:
        packet = other.socket.recv(512)
        kind, nonce = NONCE.unpack_from(packet)
        if kind == PROBE:
            other.say(nonce)

    def close(self) -> None:
        for other in self._others:
            other.socket.close()
        self._selector.close()


def spent(pid: int) -> float:
    """CPU seconds of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of memory that it holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def measure(node: Node, crowd: Crowd, seconds: float) -> tuple[float, float]:
    """Share of a core, and MiB."""
    before, begin = spent(node.pid), time.monotonic()
    crowd.live(begin + seconds)
    return (spent(node.pid) - before) / (time.monotonic() - begin), resident(node.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description="A node among many.")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with Node(environment=ENVIRONMENT, key=KEY) as node:
        nobody = Crowd(0)
        alone = measure(node, nobody, options.seconds / 2)
        nobody.close()
        crowd, begin = Crowd(options.nodes), time.monotonic()
        while node.known() < options.nodes:
            crowd.live(time.monotonic() + INTERVAL)
            if time.monotonic() - begin > MEET_SECONDS_MAX:
                raise SystemExit(f"after {MEET_SECONDS_MAX:g} s it knows {node.known()} of them")
        met = time.monotonic() - begin
        among = measure(node, crowd, options.seconds)
        alive = node.known()
        crowd.close()
    print(f"{alive} of {options.nodes} nodes are alive, met within {met:.1f} s")
    print(f"CPU of the node: {among[0]:.2%} of a core (alone {alone[0]:.2%})")
    print(f"memory of the node: {among[1]:.1f} MiB (alone {alone[1]:.1f} MiB)")


if __name__ == "__main__":
    main()
