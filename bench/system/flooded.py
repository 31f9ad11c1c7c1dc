"""What a flood of bad packets takes off the dataplane: calls while somebody sends all he can.

The flood goes to the port of beacons, by the loopback interface, so the sender and the kernel's
part of the work take their CPU on this machine too. The yardstick is the same flood on a node with
discovery switched off, for which the kernel has nobody to give the packets to: what is left is what
a node does about them. Beside it stand the calls without any flood.
"""

from __future__ import annotations

import subprocess
from functools import partial

from bench.flood import KEY, PORT, flood
from bench.system.figures import Row, Sample, at_least, median
from bench.system.load import calls
from bench.system.node import Node, function
from bench.system.setting import Setting

POOL = "echo"
BAR = at_least(0.8)
HOST = "127.0.0.1"
KINDS = {"forged": "our key id, a wrong tag", "foreign": "another key id", "replayed": "one replay"}
FLOOD_SECONDS = 60.0  # longer than any measure; it is ended
CONNECTIONS, DEPTH, WORKERS, INFLIGHT = 1, 1024, 4, 256


def flooded(setting: Setting) -> list[Row]:
    rows: list[Row] = []
    for kind, words in KINDS.items():
        case = f"a flood of beacons, {words}"
        results = setting.alternate(
            case,
            nobody=partial(_calls, setting, kind, discovery=False),
            node=partial(_calls, setting, kind, discovery=True),
            quiet=partial(_calls, setting, None, discovery=True),
        )
        ours, theirs = median(results["node"], "rate"), median(results["nobody"], "rate")
        quiet = median(results["quiet"], "rate")
        rows += [
            Row(case, "messages/s (yardstick: discovery off)", ours, theirs, BAR),
            Row(case, "messages/s without a flood", quiet),
            Row(case, "packets/s that came to the node", median(results["node"], "packets")),
        ]
    return rows


def _calls(setting: Setting, kind: str | None, *, discovery: bool) -> Sample:
    environment = {"DROP_IFACE": "lo", "DROP_DISCOVERY_ENABLED": str(discovery).lower()}
    functions = [function(POOL, setting.worker("c"), WORKERS, INFLIGHT)]
    with Node(functions, environment, KEY) as node:
        sender = _start(kind)
        try:
            before = node.beacons()
            sample = calls(node.address, POOL, CONNECTIONS, DEPTH, setting.seconds)
            after = node.beacons()
        finally:
            if sender is not None:
                sender.kill()
                sender.wait()
    passed = sample["messages"] / sample["rate"]  # the warm-up too
    came = [_came(beacons) for beacons in (before, after)]
    return {**sample, "packets": (came[1] - came[0]) / passed}


def _came(beacons: dict[str, int]) -> int:
    return sum(beacons.get(key, 0) for key in ("received", "kernel_dropped", "kernel_filtered"))


def _start(kind: str | None) -> subprocess.Popen[bytes] | None:
    if kind is None:
        return None
    command = flood(kind, HOST, PORT, FLOOD_SECONDS, KEY)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)
