"""What a flood of bad packets costs: the CPU of the thread `drop-beacon`, and who is still heard.

    python -m bench.flood [--seconds 3] [--kind foreign ...]      measures a herald of its own
    python -m bench.flood --to ADDRESS --port 8086 --key HEX      only sends, to a node that runs

The herald listens in a network namespace behind a veth pair, so that packets come as from another
machine; that needs root. The sender and the kernel's own work on the packets take CPU, too: the
figure is the receiving thread's alone.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.build import ROOT, program
from drop._fast.herald import Heard, Herald

KINDS = ("junk", "foreign", "forged", "replayed")
SOURCES = ("bench/flood.c", "c_src/blake2s.c", "c_src/beacon.c")
KEY = bytes(range(32))
PORT = 8086
HOST, PEER = "10.213.0.1", "10.213.0.2"
# $1: a process in the other namespace. Both namespaces go with their last process.
SETUP = f"""
ip link add name flood0 type veth peer name flood1
ip link set flood1 netns "$1"
ip addr add {HOST}/24 dev flood0
ip link set flood0 up
ip link set lo up
nsenter -t "$1" -n ip addr add {PEER}/24 dev flood1
nsenter -t "$1" -n ip link set flood1 up
"""


def flood(kind: str, to: str, port: int, seconds: float, key: bytes) -> list[str]:
    """The command that sends."""
    tool = program("flood", SOURCES)
    return [str(tool), kind, to, str(port), str(seconds), key.hex()]


def thread_seconds(name: str) -> float:
    """CPU seconds of this process's thread of that name."""
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def herald_at(address: str, number: int, *others: str) -> Herald:
    """A herald that runs and speaks to others."""
    herald = Herald(node_id=bytes([number]) * 16, incarnation=1, interval_ms=100)
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind((address, PORT))
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    herald.set_keys([KEY])
    herald.announce(name=f"n{number}", namespace="", version="", port=1, addresses=[])
    herald.set_sockets([(own.detach(), [(each, PORT, 0) for each in others])])
    herald.start()
    return herald


def measure(kind: str, seconds: float, enter: list[str]) -> None:
    """One flood from the other namespace, which `enter` runs a command in, and a line about it."""
    herald = herald_at(HOST, 1)
    peer = subprocess.Popen(
        [*enter, sys.executable, "-m", "bench.flood", "--be-peer"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    )
    while not herald.peers():
        herald.vouch()
    command = [*enter, *flood(kind, HOST, PORT, seconds, KEY)]
    before, began = thread_seconds("drop-beacon"), time.monotonic()
    first = herald.statistics()
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    silence, filtered = 0, 0
    while sender.poll() is None:
        time.sleep(0.05)
        silence = max([silence, *(each.silent_ms for each in herald.peers())])
        filtered |= herald.statistics()["filtered"]
    used, took = thread_seconds("drop-beacon") - before, time.monotonic() - began
    last = herald.statistics()
    sent = sender.communicate()[0].strip()
    names = ("received", "accepted", "kernel_dropped", "kernel_filtered", "paused")
    counted = ", ".join(f"{name} {last[name] - first[name]}" for name in names)
    print(f"{kind:9} {used / took:6.1%} of a CPU; longest silence {silence} ms; {sent}")
    print(f"          filtered {filtered}; {counted}", flush=True)
    peer.communicate()
    herald.stop()


def be_peer() -> None:
    """The good node, until its stdin ends."""
    herald = herald_at(PEER, 2, HOST)
    sys.stdin.read()
    assert all(isinstance(each, Heard) for each in herald.take())
    herald.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.flood")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--to")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--key", type=bytes.fromhex, default=KEY)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--be-peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    kinds = options.kind or list(KINDS)
    if options.be_peer:
        be_peer()
    elif options.inside:
        measure_all(kinds, options.seconds)
    elif options.to:
        for kind in kinds:
            command = flood(kind, options.to, options.port, options.seconds, options.key)
            subprocess.run(command, check=True)
    else:
        own = ["unshare", "--net", sys.executable, "-m", "bench.flood", "--inside"]
        sys.exit(subprocess.run([*own, *sys.argv[1:]], cwd=ROOT, check=False).returncode)


def measure_all(kinds: list[str], seconds: float) -> None:
    """In a namespace of its own: all floods, from a second one."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as other:
        here = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{other.pid}/ns/net") == here:
            time.sleep(0.01)
        subprocess.run(["sh", "-ec", SETUP, "sh", str(other.pid)], check=True)
        for kind in kinds:
            measure(kind, seconds, ["nsenter", "-t", str(other.pid), "-n"])


if __name__ == "__main__":
    main()
