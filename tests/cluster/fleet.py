"""Real nodes on hosts of their own (network namespaces), and what each of them sees of the others.

Every node has one client that asks it again and again (`node.list`, `node.watch`): a question is
held by the node until there is something new, so nothing here waits by sleeping.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from drop.client import Client
from namespaces import Network
from running_node import RunningNode

Document = dict[str, Any]

WAIT_SECONDS_MAX = 20.0
"""A test that waits longer than this has failed; what is promised is far below it."""


class Host:
    """One node and a client of it."""

    def __init__(self, running: RunningNode) -> None:
        self.running = running
        self._client: Client | None = None

    def start(self) -> None:
        self.running.start()
        self.connect()

    def connect(self) -> None:
        self._client = Client(self.running.socket_address, timeout=30)

    def ask(self, operation: str, **arguments: Any) -> Document:
        assert self._client is not None, "start() it first"
        reply: Document = self._client.control(operation, **arguments)
        assert reply["ok"], reply
        return reply

    def refused(self, operation: str, **arguments: Any) -> str:
        assert self._client is not None, "start() it first"
        reply = self._client.control(operation, **arguments)
        assert not reply["ok"], reply
        return str(reply["error"])

    def states(self) -> dict[str, str]:
        """State by name of every node that this one lists, itself left out."""
        return _states(self.ask("node.list"))

    def wait(self, told: Callable[[dict[str, str]], bool], what: str = "") -> float:
        """Until `told(states)`; returns the seconds it took."""
        begin = time.monotonic()
        self.until(lambda reply: told(_states(reply)), what)
        return time.monotonic() - begin

    def until(
        self, told: Callable[[Document], bool], what: str = "", *, seconds: float = 1.0
    ) -> None:
        """Until `told` of what `node.list` answers; asked again at every change, and after
        `seconds` for what is no change of a node."""
        begin = time.monotonic()
        while not told(reply := self.ask("node.list")):
            if time.monotonic() - begin > WAIT_SECONDS_MAX:
                raise AssertionError(f"{what}: still {reply}\n{self.running.output}")
            self.ask("node.watch", revision=reply["revision"], seconds=seconds)

    def until_beacons(self, told: Callable[[Document], bool], what: str = "") -> None:
        """Until `told` of the figures and faults of its beacons."""
        self.until(lambda reply: told(reply["beacons"]), what, seconds=0.1)

    def end(self) -> None:
        """The client's end; the node's is the fleet's."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _states(reply: Document) -> dict[str, str]:
    return {each["name"]: each["state"] for each in reply["nodes"] if each["state"] != "self"}


class Fleet:
    """A node on each host of a network, with one key."""

    def __init__(
        self, network: Network, directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.network = network
        self.key = os.urandom(32)
        self.hosts = [
            Host(
                RunningNode(
                    directory / f"n{number}",
                    8085,
                    [],
                    {"DROP_NAME": f"n{number}", "HOME": "/nonexistent", **(environment or {})},
                    prefix=node.prefix,
                )
            )
            for number, node in enumerate(network.nodes)
        ]
        for number in range(len(self.hosts)):
            self.give_key(number, self.key)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in self.hosts:
            host.end()
        with ThreadPoolExecutor(len(self.hosts)) as threads:
            for each in [threads.submit(host.running.finish) for host in self.hosts]:
                each.result()

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number]

    def directory(self, number: int) -> Path:
        return self.hosts[number].running.var_dir

    def give_key(self, number: int, *keys: bytes) -> None:
        """Writes a node's key file, as `drop key install` does."""
        self.directory(number).mkdir(parents=True, exist_ok=True)
        lines = "".join(f"drop-key-1 {base64.b64encode(key).decode()}\n" for key in keys)
        path = self.directory(number) / "key"
        path.touch(mode=0o600)
        path.write_text(lines)

    def start(self, *numbers: int) -> None:
        """All at once: a node is ready after a second of imports, which several can share."""
        chosen = [self.hosts[number] for number in numbers or range(len(self.hosts))]
        with ThreadPoolExecutor(len(chosen)) as threads:
            for each in [threads.submit(host.start) for host in chosen]:
                each.result()

    def others(self, number: int, state: str = "alive") -> dict[str, str]:
        """What a node lists when all the others are in this state."""
        return {f"n{each}": state for each in range(len(self.hosts)) if each != number}

    def meet(self) -> None:
        """Until every node lists all the others as alive."""
        for number, host in enumerate(self.hosts):
            host.wait(lambda states, n=number: states == self.others(n), f"n{number} sees all")
