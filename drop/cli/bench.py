"""`drop bench`: how fast does a pool answer, measured by the native load generator.

Here: connections, judgement and presentation. The load itself runs in a thread without the GIL.
"""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from drop._fast import load as native
from drop._fast.codec import Decoder, Encoder
from drop.cli import errors, output
from drop.cli.errors import UsageError
from drop.cli.target import address_of, token_of
from drop.client import limits
from drop.client.address import Address
from drop.client.terms import Welcome, at, goodbye, welcome_from
from drop.errors import (
    STATUS,
    CallTimeout,
    ConnectionLost,
    DropError,
    FunctionError,
    ProtocolError,
    error_for,
)

WARMUP_S = 0.3  # until caches, buffers and the node's placement have settled; not counted
CONNECT_TIMEOUT_S = 5.0
MEMORY_MAX = 1 << 30  # bytes of encoded calls: they all lie in memory
DESCRIPTORS_SPARE = 64  # files that Python and the terminal need besides the connections
ALPHABET = b"abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    pool: str
    payload: bytes
    connections: int
    depth: int
    seconds: float
    timeout_ms: int
    verify: bool

    def check(self) -> None:
        """Raises UsageError for what cannot be run."""
        if self.connections < 1:
            raise UsageError(f"--connections {self.connections}: expected 1 or more")
        if not 1 <= self.depth <= native.DEPTH_MAX:
            raise UsageError(f"--depth {self.depth}: expected 1 to {native.DEPTH_MAX}")
        if not 0 < self.seconds <= 86_400:
            raise UsageError(f"--seconds {self.seconds:g}: expected more than 0, at most 86400")
        if not 0 <= self.timeout_ms < 1 << 32:
            raise UsageError(f"--timeout-ms {self.timeout_ms}: expected 0 (none) to {2**32 - 1}")
        size = self.connections * self.depth * (len(self.payload) + limits.HEADER)
        if size > MEMORY_MAX:
            raise UsageError(
                f"{self.connections} connections x {self.depth} calls of {len(self.payload)} bytes"
                f" need {size >> 20} MiB: expected at most {MEMORY_MAX >> 20} MiB"
            )


def bench(
    *,
    pool: str,
    connections: int = 1,
    depth: int = 1,
    size: int = 100,
    seconds: float = 2.0,
    timeout_ms: int = 10_000,
    payload: str | None = None,
    payload_file: Path | None = None,
    verify: bool = False,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Keeps `depth` calls outstanding on each connection and prints what came of it."""
    message = _payload(size, payload, payload_file)
    plan = Plan(pool, message, connections, depth, seconds, timeout_ms, verify)
    plan.check()
    where, token = address_of(address), token_of(token_file)
    with ExitStack() as stack:
        sockets = open_connections(where, token, plan, stack)
        measured = run_load(plan, sockets, quiet=json)
    judge(where, plan, measured)
    if json:
        output.write_json(report(where, plan, measured))
    else:
        print(text_of(report(where, plan, measured)))
    return errors.OK


def _payload(size: int, text: str | None, file: Path | None) -> bytes:
    if text is not None and file is not None:
        raise UsageError("both --payload and --payload-file: expected one of them")
    if text is not None:
        return text.encode()
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as error:
            raise UsageError(f"--payload-file {file}: {error.strerror}") from None
    if not 0 <= size <= MEMORY_MAX:
        raise UsageError(f"--size {size}: expected 0 to {MEMORY_MAX}")
    return (ALPHABET * (size // len(ALPHABET) + 1))[:size]


# -- connections --------------------------------------------------------------------------------


def open_connections(
    address: Address, token: bytes, plan: Plan, stack: ExitStack
) -> list[socket.socket]:
    """Connected, blocking, with their WELCOME read; `stack` closes them. Raises DropError."""
    _allow_descriptors(plan.connections)
    encoder = Encoder()
    encoder.hello(token)
    hello = encoder.take()
    sockets = []
    try:
        for _ in range(plan.connections):
            connection = stack.enter_context(_connect(address))
            connection.sendall(hello)
            sockets.append(connection)
        for connection in sockets:
            _check_welcome(_read_welcome(connection), plan)
            connection.settimeout(None)
    except OSError as error:
        if isinstance(error, TimeoutError):
            error = ConnectionLost(f"no WELCOME within {CONNECT_TIMEOUT_S:g} s")
        raise at(address, error) from None
    except DropError as error:
        raise at(address, error) from None
    return sockets


def _allow_descriptors(connections: int) -> None:
    wanted = connections + DESCRIPTORS_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise UsageError(
                f"--connections {connections}: this process may open {hard} files"
                f" (`ulimit -Hn`); expected at most {hard - DESCRIPTORS_SPARE}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _connect(address: Address) -> socket.socket:
    if not address.path:
        where = (address.host, address.port)
        connection = socket.create_connection(where, CONNECT_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(address.path)
    except OSError:
        connection.close()
        raise
    return connection


def _read_welcome(connection: socket.socket) -> Welcome:
    decoder = Decoder(limits.HEADER + limits.SMALL_BODY_MAX)
    while (frame := decoder.next_frame()) is None:
        data = connection.recv(limits.SMALL_BODY_MAX)
        if not data:
            raise ConnectionLost("the connection was closed before WELCOME; is it a DROP node?")
        decoder.feed(data)
    return welcome_from(frame)


def _check_welcome(welcome: Welcome, plan: Plan) -> None:
    if plan.depth > welcome.calls_max:
        raise UsageError(f"--depth {plan.depth}: the node takes at most {welcome.calls_max}")
    if len(plan.payload) > welcome.payload_max:
        raise UsageError(
            f"a payload of {len(plan.payload)} bytes: the node takes at most {welcome.payload_max}"
        )


# -- the run ------------------------------------------------------------------------------------


def run_load(
    plan: Plan, sockets: list[socket.socket], *, quiet: bool, whole: bool = False
) -> native.Measured:
    """Runs the load in a thread; Ctrl-C ends it early and keeps what was measured.

    `whole`: a part of a run is worth nothing, so Ctrl-C is raised.
    """
    load = native.Load(
        [connection.fileno() for connection in sockets],
        plan.pool.encode(),
        plan.payload,
        depth=plan.depth,
        seconds=plan.seconds,
        warmup=WARMUP_S,
        timeout_ms=plan.timeout_ms,
        verify=plan.verify,
    )
    results: list[native.Measured] = []
    ended = Event()  # Thread.join() must not be interrupted: afterwards it may not wait any more

    def work() -> None:
        results.append(load.run())
        ended.set()

    Thread(target=work, name="drop-load").start()
    try:
        if not quiet:
            _show_progress(load, ended, plan)
        ended.wait()
    except KeyboardInterrupt:
        load.stop()
        ended.wait()
        if whole or (not results[0]["messages"] and not results[0]["errors"]):
            raise
    return results[0]


def _show_progress(load: native.Load, ended: Event, plan: Plan) -> None:
    """A bar with the current rate on stderr, while that is a terminal."""
    from drop.cli.progress import Bar  # rich takes 50 ms to import

    with Bar(plan.pool, WARMUP_S + plan.seconds) as bar:
        while bar.visible and not ended.wait(bar.PAUSE_S):
            bar.update(load.progress)


# -- judgement and presentation -----------------------------------------------------------------


def judge(address: Address, plan: Plan, measured: native.Measured) -> None:
    """Raises what the run ended with, unless it has measured something."""
    end, text = measured["end"], measured["text"]
    if end == native.GOAWAY:
        raise at(address, goodbye(measured["status"], text.encode()))
    if end == native.CLOSED:
        raise ConnectionLost(f"{address}: the node closed a connection during the run")
    if end == native.UNEXPECTED:
        raise ProtocolError(f"{address}: the node sent {text}")
    if end == native.ALTERED:
        raise FunctionError(f"{plan.pool}: an answer differs from its message (--verify)")
    if end == native.SYSTEM:
        raise at(address, OSError(measured["errno"], text))
    if measured["messages"] == 0 and measured["errors"]:
        raise error_for(measured["status"], f"{address}: every call failed: {text}")
    if measured["messages"] == 0 and measured["seconds"] > 0:
        raise CallTimeout(f"{address}: no answer from {plan.pool} within {plan.seconds:g} s")


def report(address: Address, plan: Plan, measured: native.Measured) -> dict[str, object]:
    """The figures, by the names that --json gives them."""
    messages = measured["messages"]
    failed = {STATUS.get(code, str(code)): n for code, n in measured["errors"].items()}
    latencies = {
        f"{name}_us": round(measured[name] * 1e6, 2)
        for name in ("mean", "p50", "p99", "p999", "max")
    }
    return {
        "pool": plan.pool,
        "address": str(address),
        "connections": plan.connections,
        "depth": plan.depth,
        "size": len(plan.payload),
        "seconds": round(measured["seconds"], 3),
        "messages": messages,
        "messages_per_second": round(messages / max(measured["seconds"], 1e-9)),
        **latencies,
        "errors": sum(failed.values()),
        "errors_by_status": failed,
        "unanswered": measured["unanswered"],
        "reads_per_message": round(measured["reads"] / max(messages, 1), 4),
        "writes_per_message": round(measured["writes"] / max(messages, 1), 4),
    }


def text_of(figures: dict[str, object]) -> str:
    """The figures for people."""
    failed = figures["errors_by_status"]
    assert isinstance(failed, dict)
    kinds = ", ".join(f"{name} {count:,}" for name, count in failed.items())
    lost = f"\nunanswered   {figures['unanswered']:,}" if figures["unanswered"] else ""
    return (
        f"{figures['pool']} at {figures['address']}: {figures['connections']} connection(s) x"
        f" {figures['depth']} outstanding, {figures['size']} bytes, {figures['seconds']} s\n"
        f"messages/s   {figures['messages_per_second']:,}\n"
        f"latency us   p50 {figures['p50_us']:,}   p99 {figures['p99_us']:,}"
        f"   p99.9 {figures['p999_us']:,}   max {figures['max_us']:,}\n"
        f"errors       {figures['errors']:,}{f' ({kinds})' if kinds else ''}{lost}"
    )
