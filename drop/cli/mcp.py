"""`drop mcp`: a pool of kind `mcp` as an MCP server on stdio, for editors and agents.

    client ── lines ──▶ Bridge ── calls, many at once ──▶ pool

What a client sends goes to the pool as it is, with a mark in front that tells one client from
another, since their ids are the same numbers; what the pool answers goes to the client as it is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import uuid
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from drop.cli.errors import OK, UsageError
from drop.cli.messages import lines_of
from drop.cli.output import discard_stdout
from drop.cli.target import address_of, token_of
from drop.client import AsyncClient, DropError

TIMEOUT_S = 600.0  # the pool's own timeout is the one that counts; this is for a node that is gone
OUTSTANDING_MAX = 256  # calls of one client; a client that has more out waits

PARSE_ERROR, INVALID_REQUEST, NOT_ANSWERED = -32700, -32600, -32000


def mcp(
    *,
    pool: str,
    timeout: float | None = None,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Serves one MCP client until it closes our stdin."""
    seconds = TIMEOUT_S if timeout is None else timeout
    if not seconds > 0:
        raise UsageError(f"--timeout {seconds:g}: expected more than 0 seconds")
    client = AsyncClient(
        str(address_of(address)), token=token_of(token_file), timeout=seconds, name="drop mcp"
    )
    return asyncio.run(_serve(client, pool))


async def _serve(client: AsyncClient, pool: str) -> int:
    async with client:
        await Bridge(client, pool).run()
    return OK


class Bridge:
    """One client's messages into a pool, and the answers back."""

    def __init__(self, client: AsyncClient, pool: str) -> None:
        self._client = client
        self._pool = pool
        self._mark = b'{"drop/client":"%s",' % uuid.uuid4().hex.encode()
        self._room = asyncio.Semaphore(OUTSTANDING_MAX)
        self._wanted: dict[str, bool] = {}  # by id, as JSON, of the requests that are out
        self._outstanding: set[asyncio.Future[bytes]] = set()

    async def run(self) -> None:
        """Until the end of stdin; what was asked before is still answered."""
        lines: asyncio.Queue[bytes | None] = asyncio.Queue(OUTSTANDING_MAX)
        reader = partial(_read_stdin, asyncio.get_running_loop(), lines)
        threading.Thread(target=reader, name="drop mcp stdin", daemon=True).start()
        while (line := await lines.get()) is not None:
            if line.strip():
                await self._room.acquire()
                self._take(line.strip())
        while self._outstanding:
            await asyncio.wait(self._outstanding)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            return self._refuse(None, PARSE_ERROR, f"the message is not JSON: {error}")
        if not isinstance(message, dict) or not message:
            text = "expected one message; batches are not taken"
            return self._refuse(None, INVALID_REQUEST, text)
        if message.get("method") == "notifications/cancelled":
            self._note_cancelled(message.get("params"))
        try:
            future = self._client.call(self._pool, self._mark + line[1:].lstrip())
        except ValueError as error:
            return self._refuse(message.get("id"), INVALID_REQUEST, str(error))
        if _is_request(message):
            self._wanted[json.dumps(message["id"])] = True
        self._outstanding.add(future)
        future.add_done_callback(partial(self._answered, message))

    def _refuse(self, identity: object, code: int, text: str, **data: str) -> None:
        error: dict[str, Any] = {"code": code, "message": text}
        if data:
            error["data"] = data
        _write(json.dumps({"jsonrpc": "2.0", "id": identity, "error": error}).encode())
        self._room.release()

    def _note_cancelled(self, params: object) -> None:
        """A client that cancels wants no answer any more; the pool gives one all the same."""
        key = json.dumps(params.get("requestId")) if isinstance(params, dict) else ""
        if key in self._wanted:
            self._wanted[key] = False

    def _answered(self, message: dict[str, Any], future: asyncio.Future[bytes]) -> None:
        self._outstanding.discard(future)
        wanted = _is_request(message) and self._wanted.pop(json.dumps(message["id"]), True)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, DropError) and wanted:
            text = f"the pool {self._pool} did not answer: {error}"
            return self._refuse(message["id"], NOT_ANSWERED, text, status=error.status)
        if error is not None:
            sys.stderr.write(f"drop mcp: {message.get('method', 'a response')}: {error}\n")
        elif wanted and not future.cancelled() and future.result():
            _write(future.result())
        self._room.release()


def _read_stdin(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes | None]) -> None:
    """In a thread, which serves files, pipes and terminals alike; waits while the queue is full."""
    with FileIO(0, closefd=False) as source:
        for batch in lines_of(source):
            for line in batch:
                asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
    asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()


def _is_request(message: dict[str, Any]) -> bool:
    return "id" in message and "method" in message


def _write(line: bytes) -> None:
    try:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard_stdout()  # the client is gone; the end of stdin will say so, too
