"""A worker of kind `async` in front of an MCP server program on stdio: `mcp -- COMMAND`.

    pool ── TOKEN::json ──▶ Adapter ◀── lines ──▶ ServerProcess
                             │  ▲
                       events▼  │actions
                            Session        decides everything

The thin shell: it reads, writes and keeps the time. docs/mcp.md says what it does, for users.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from drop.adapters.mcp_events import (
    Answer,
    Ended,
    Era,
    Event,
    Exit,
    FromClient,
    FromServer,
    Log,
    Send,
    Start,
    Stop,
    Tick,
)
from drop.adapters.mcp_process import ServerProcess, lines
from drop.adapters.mcp_session import Session

PAYLOAD_MAX = 64 << 20  # bytes of one message, as the node's default
TOKEN_MAX = 4096  # bytes in front of a message


class Adapter:
    """Carries out what the session decides; lives until run() returns the exit code."""

    def __init__(self, session: Session, command: Sequence[str], grace_s: float, line_max: int):
        self._session = session
        self._command = command
        self._grace_s = grace_s
        self._line_max = line_max
        self._servers: dict[Era, ServerProcess] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._at_end = False  # of stdin
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = self._loop.create_future()

    async def run(self) -> int:
        """Serve until the end of stdin, SIGTERM, or until nothing more can be done."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._finish, 0)
        reader, self._writer = await open_stdio(self._line_max + TOKEN_MAX)
        pump = self._loop.create_task(self._read(reader))
        code = await self._code
        pump.cancel()
        await asyncio.gather(*(server.stop() for server in self._servers.values()))
        try:
            await asyncio.wait_for(self._writer.drain(), self._grace_s)
        except (TimeoutError, ConnectionError):
            log("the last answers have found no reader")
        return code

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Messages of the pool; not more of them than the servers and the pool take."""
        async for line in lines(reader):
            token, separator, payload = line.partition(b"::")
            if not separator:
                log(f"ignored a line without a token: {line[:80]!r}")
                continue
            self._handle(FromClient(token, payload))
            await self._writer.drain()
            for server in list(self._servers.values()):
                await server.drain()
        self._at_end = True
        self._settle()

    def _handle(self, event: Event) -> None:
        for action in self._session.handle(event, self._loop.time()):
            match action:
                case Answer(token, payload):
                    self._writer.write(b"%b::%b\n" % (token, payload))
                case Send(era, line):
                    if era in self._servers:
                        self._servers[era].send(line)
                case Start(era):
                    self._servers[era] = self._start(era)
                case Stop(era):
                    self._stop(era)
                case Log(text):
                    log(text)
                case Exit(code):
                    self._finish(code)
        self._settle()

    def _settle(self) -> None:
        """After each event: the next time to look, and whether all is done."""
        if self._timer is not None:
            self._timer.cancel()
        wake = self._session.next_wake()
        self._timer = None if wake is None else self._loop.call_at(wake, self._handle, Tick())
        if self._at_end and self._session.pending == 0:
            self._finish(0)

    def _finish(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    def _start(self, era: Era) -> ServerProcess:
        return ServerProcess(
            self._command,
            self._line_max,
            self._grace_s,
            lambda line: self._handle(FromServer(era, line)),
            partial(self._ended, era),
        )

    def _ended(self, era: Era, reason: str, hopeless: bool) -> None:
        self._servers.pop(era, None)
        if not self._code.done():
            self._handle(Ended(era, reason, hopeless))

    def _stop(self, era: Era) -> None:
        if era in self._servers:
            task = self._loop.create_task(self._servers[era].stop())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)


async def open_stdio(limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """This process's stdin and stdout as streams."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb", 0)
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


def log(text: str) -> None:
    """One line on stderr."""
    line = " ".join(f"mcp: {text}".splitlines()) + "\n"
    os.write(2, line.encode("utf-8", "backslashreplace"))


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="mcp", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--timeout-ms", type=int, default=30_000, metavar="N")
    parser.add_argument("--grace-ms", type=int, default=2_000, metavar="N")
    parser.add_argument("--payload-max", type=int, default=PAYLOAD_MAX, metavar="BYTES")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    given = parser.parse_args(arguments)
    # A request is answered before the pool gives this worker up for hung.
    request_s = (given.timeout_ms - min(1000, given.timeout_ms // 10)) / 1000

    async def run() -> int:
        session = Session(request_s, os.environ.get("MCP_PROTOCOL_VERSION", ""))
        return await Adapter(session, given.command, given.grace_ms / 1000, given.payload_max).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
