"""Hosts that are network namespaces: joined by a bridge, with cables to cut and packets to lose.

    with Network(nodes=5) as net:
        net.node(0).run("ping", "-c1", net.node(1).address)
        net.cut(0)                          # the cable: node 0 loses its carrier
        net.partition({0, 1}, {2, 3, 4})    # the switch drops what goes from one side to the other
        net.block(2, 3)                     # ... what goes from 2 to 3, not what comes back
        net.loss(20)                        # ... a fifth of everything, by chance
        net.heal()

A namespace lives as long as a process in it: each has a holder, which ends when its stdin does, so
also when the test is killed. Nothing has a name that anybody else could see, the host's own
namespace is never changed. At the end every process that is still inside is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

NODES_MAX = 250  # the last byte of an address
RUN_SECONDS_MAX = 30
CLONE_NEWNET = 0x40000000
BRIDGE = "bridge0"
CABLE = "eth0"
GATEWAY, GATEWAY6 = "10.80.0.254", "fd80::fe"
PROGRAMS = ("ip", "nft", "nsenter", "unshare")
PROBE = """
ip link add name cable0 type veth peer name cable1
ip link add name switch0 type bridge
ip link set cable0 master switch0
nft 'table bridge t { chain c { type filter hook forward priority 0; }; }'
nft 'add rule bridge t c numgen random mod 2 < 1 drop'
"""


class CommandFailed(AssertionError):
    """The text holds the command and what it wrote to stderr."""


@functools.cache
def why_not() -> str:
    """Why there can be no namespaces here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if absent := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"network namespaces need {', '.join(absent)}"
    # Not by the classes here: a fault of theirs must fail tests, not skip them.
    tried = subprocess.run(
        ["unshare", "--net", "--uts", "sh", "-ec", PROBE],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_SECONDS_MAX,
    )
    return f"no network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Namespace:
    """A network of its own, with a host name of its own; at first it has a loopback interface."""

    def __init__(self, name: str = "host") -> None:
        self.name = name
        self._holder: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Namespace:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Returns when the namespace is there."""
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self._exchange(b"there\n")
            self.run("hostname", self.name)
            self.ip("link set lo up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends all that runs inside; the kernel removes the rest."""
        if self._holder is None:
            return
        for process in self._started:  # one may be on its way in
            process.kill()
            process.wait()
        self._started.clear()
        while self._holder.poll() is None and (found := self.processes()):
            for pid in found:  # and may have had children meanwhile
                _end(pid)
        for stream in self._streams():
            stream.close()
        self._holder.wait()
        self._holder = None

    @property
    def pid(self) -> int:
        """The process that holds it."""
        assert self._holder is not None, "open() the namespace first"
        return self._holder.pid

    @property
    def prefix(self) -> list[str]:
        """What makes a command run inside; the process stays the one that was started."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", f"--uts=/proc/{self.pid}/ns/uts", "--"]

    def processes(self) -> list[int]:
        """All that runs inside, but not the holder; the test's own process never."""
        here = _namespace(self.pid)
        found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        apart = {self.pid, os.getpid()}
        return [pid for pid in found if pid not in apart and _namespace(pid) == here]

    def run(
        self, *command: str, check: bool = True, text: str | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end; `text` is its stdin."""
        return _run([*self.prefix, *command], check=check, text=text, **options)

    def start(self, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Starts a program; what is left of it at the end is killed."""
        process = subprocess.Popen([*self.prefix, *command], **options)
        self._started.append(process)
        return process

    def ip(self, *commands: str) -> None:
        """Commands of ip(8), all by one process: `ip("link set eth0 down", ...)`."""
        self.run("ip", "-batch", "-", text="".join(f"{command}\n" for command in commands))

    def sysctl(self, key: str, value: object) -> None:
        """`sysctl("net/ipv6/conf/eth0/dad_transmits", 0)`, of this namespace only."""
        with self.inside():
            Path("/proc/sys", key).write_text(f"{value}\n")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in the namespace; so are the threads and sockets that it makes."""
        with open("/proc/thread-self/ns/net") as back, open(f"/proc/{self.pid}/ns/net") as there:
            _enter(there)
            try:
                yield
            finally:
                _enter(back)

    def _exchange(self, line: bytes) -> None:
        reading, writing = self._streams()
        writing.write(line)
        writing.flush()
        if reading.readline() != line:
            raise OSError("unshare --net --uts failed; its stderr says why")

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._holder is not None
        assert self._holder.stdout is not None
        assert self._holder.stdin is not None
        return self._holder.stdout, self._holder.stdin


class Node(Namespace):
    """A namespace with one end of a cable, `eth0`, and its addresses."""

    def __init__(self, number: int) -> None:
        super().__init__(f"node-{number}")
        self.number = number
        self.interface = CABLE
        self.port = f"port{number}"  # the cable's other end, at the switch
        self.address = f"10.80.0.{number + 1}"
        self.address6 = f"fd80::{number + 1:x}"

    def is_reached_by(self, other: Node, address: str | None = None) -> bool:
        """Whether one packet of another node comes here and the answer back, within two seconds."""
        where = address or self.address
        return other.run("ping", "-c1", "-W2", "-n", where, check=False).returncode == 0


class Network:
    """Nodes at a switch, which is a bridge in a namespace of its own."""

    def __init__(self, nodes: int, *, v6: bool = True, gateway: bool = True) -> None:
        """With a gateway every node has a default route to the switch, which answers there."""
        assert 0 < nodes <= NODES_MAX
        self._v6 = v6
        self._gateway = gateway
        self.switch = Namespace("switch")
        self.nodes = [Node(number) for number in range(nodes)]
        self._blocked: set[tuple[int, int]] = set()
        self._loss_percent = 0.0

    def __enter__(self) -> Network:
        with contextlib.ExitStack() as opened:
            for each in (self.switch, *self.nodes):
                opened.enter_context(each)
            self._plug()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def node(self, number: int) -> Node:
        return self.nodes[number]

    def cut(self, *numbers: int) -> None:
        """Pulls cables: these nodes see that the carrier is gone."""
        self.switch.ip(*(f"link set {self.node(number).port} down" for number in numbers))

    def plug(self, *numbers: int) -> None:
        """Puts cables back."""
        self.switch.ip(*(f"link set {self.node(number).port} up" for number in numbers))

    def block(self, source: int, destination: int) -> None:
        """Drops what goes one way; nobody sees a carrier go."""
        self._blocked.add((source, destination))
        self._set_rules()

    def partition(self, *sides: Iterable[int]) -> None:
        """Drops what goes from a side to another, both ways; replaces what was blocked before."""
        groups = [set(side) for side in sides]
        self._blocked = {
            (source, destination)
            for here in groups
            for there in groups
            if here is not there
            for source in here
            for destination in there
        }
        self._set_rules()

    def loss(self, percent: float) -> None:
        """Drops so much of all that passes the switch, each copy of a multicast by itself."""
        self._loss_percent = percent
        self._set_rules()

    def heal(self) -> None:
        """All cables in, nothing blocked, nothing lost."""
        self._blocked.clear()
        self._loss_percent = 0.0
        self._set_rules()
        self.plug(*range(len(self.nodes)))

    def _plug(self) -> None:
        self.switch.ip(f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up")
        for node in self.nodes:
            for each in ("all", "default"):
                node.sysctl(f"net/ipv6/conf/{each}/disable_ipv6", 0 if self._v6 else 1)
            node.sysctl("net/ipv6/conf/default/accept_dad", 0)  # addresses serve at once
        self.switch.ip(
            *(
                f"link add {node.port} type veth peer name {CABLE} netns {node.pid}"
                for node in self.nodes
            ),
            *(f"link set {node.port} master {BRIDGE} up" for node in self.nodes),
        )
        if self._gateway:
            self.switch.ip(f"addr add {GATEWAY}/24 dev {BRIDGE}")
            if self._v6:
                self.switch.ip(f"addr add {GATEWAY6}/64 dev {BRIDGE} nodad")
        for node in self.nodes:
            node.ip(*self._node_commands(node))

    def _node_commands(self, node: Node) -> Iterator[str]:
        yield f"link set {CABLE} up"
        yield f"addr add {node.address}/24 dev {CABLE}"
        if self._gateway:
            yield f"route add default via {GATEWAY}"
        if self._v6:
            yield f"addr add {node.address6}/64 dev {CABLE} nodad"
        if self._v6 and self._gateway:
            yield f"route add default via {GATEWAY6}"

    def _set_rules(self) -> None:
        rules = []
        if self._blocked:
            pairs = ", ".join(
                f'"{self.node(source).port}" . "{self.node(destination).port}"'
                for source, destination in sorted(self._blocked)
            )
            rules.append(f"iifname . oifname {{ {pairs} }} drop")
        if self._loss_percent:
            rules.append(f"numgen random mod 10000 < {round(self._loss_percent * 100)} drop")
        script = "table bridge cables\ndelete table bridge cables\ntable bridge cables {\n"
        script += "chain forward {\ntype filter hook forward priority 0; policy accept;\n"
        script += "".join(f"{rule}\n" for rule in rules) + "}\n}\n"
        self.switch.run("nft", "-f", "-", text=script)


def _enter(namespace: IO[str]) -> None:
    """setns(2) of the calling thread; `os.setns` came with Python 3.12 only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), namespace.name)


def _end(pid: int) -> None:
    """Kills a process and returns when it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        select.select([fd], [], [], RUN_SECONDS_MAX)
    finally:
        os.close(fd)


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it has ended
        return ""


def _run(
    command: list[str],
    *,
    check: bool,
    text: str | None,
    timeout: float = RUN_SECONDS_MAX,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=env,
    )
    if check and result.returncode:
        raise CommandFailed(f"{command} ended with {result.returncode}: {result.stderr}")
    return result
