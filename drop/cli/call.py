"""`drop call`, `cast` and `publish`: messages into a pool, and what becomes of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from drop.cli import errors, output
from drop.cli.messages import Messages
from drop.cli.target import open_client
from drop.client import Client
from drop.errors import DropError

FAILURES_TOLD = 10  # a pool that is down fails every line in the same way

Result = bytes | DropError
Sender = Callable[[Client, str, list[bytes]], list[Result]]


def call(
    *,
    pool: str,
    message: str | None = None,
    file: Path | None = None,
    lines: bool = False,
    raw: bool = False,
    timeout: float | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Prints the answer to each message, in the order of the messages."""
    messages = Messages(message, file, lines, raw)

    def show(result: Result) -> None:
        if json:
            output.write_json(_document("answer", result))
        else:
            # Of many lines, one that failed leaves an empty one: line n answers line n.
            output.write_bytes(result if isinstance(result, bytes) else b"", raw=raw)

    with open_client(address, token_file, timeout) as client:
        if not lines and not json:
            return _pass_on(client, pool, messages, raw)
        return _send(client, pool, messages, Client.call_many, show)


def cast(
    *,
    pool: str,
    message: str | None = None,
    file: Path | None = None,
    lines: bool = False,
    raw: bool = False,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Sends messages without waiting for anything."""
    messages = Messages(message, file, lines, raw)
    with open_client(address, token_file) as client:
        return _send(client, pool, messages, _cast_many, _show_status(json))


def publish(
    *,
    pool: str,
    message: str | None = None,
    file: Path | None = None,
    lines: bool = False,
    raw: bool = False,
    timeout: float | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Sends messages and waits until the pool has them; their answers go to its subscribers."""
    messages = Messages(message, file, lines, raw)
    with open_client(address, token_file, timeout) as client:
        return _send(client, pool, messages, _publish_many, _show_status(json))


def _pass_on(client: Client, pool: str, messages: Messages, raw: bool) -> int:
    """One answer, as it comes. When nobody reads it any more, the call is cancelled."""
    for batch in messages.batches():
        end = b""
        try:
            with closing(client.call_parts(pool, batch.pop())) as parts:
                for part in parts:
                    output.write_part(part)
                    end = part[-1:]
        except DropError as error:
            errors.name_logs(error, pool)
            raise
        if end != b"\n" and not raw:
            output.write_part(b"\n")
    return errors.OK


def _send(
    client: Client, pool: str, messages: Messages, sender: Sender, show: Callable[[Result], None]
) -> int:
    """The exit code. A single message that fails raises; of lines, the first failures are told."""
    code, number, failed = errors.OK, 0, 0
    for batch in messages.batches():
        for result in sender(client, pool, batch):
            number += 1
            if isinstance(result, DropError):
                if not messages.lines:
                    errors.name_logs(result, pool)
                    raise result
                failed += 1
                if failed <= FAILURES_TOLD:
                    which = f" (call {call})" if (call := errors.call_of(result)) else ""
                    sys.stderr.write(f"drop: line {number}: {result.status}: {result}{which}\n")
                code = code or errors.describe(result)[1]
            show(result)
    if failed > FAILURES_TOLD:
        sys.stderr.write(f"drop: {failed} of {number} lines failed; --json tells of each\n")
    return code


def _cast_many(client: Client, pool: str, batch: list[bytes]) -> list[Result]:
    for payload in batch:
        client.cast(pool, payload)
    return [b""] * len(batch)


def _publish_many(client: Client, pool: str, batch: list[bytes]) -> list[Result]:
    results: list[Result] = []
    for payload in batch:
        try:
            client.publish(pool, payload)
            results.append(b"")
        except DropError as error:
            results.append(error)
    return results


def _show_status(as_json: bool) -> Callable[[Result], None]:
    """Nothing to print but the status, and that only for programs."""
    return lambda result: output.write_json(_document("", result)) if as_json else None


def _document(name: str, result: Result) -> dict[str, str]:
    if isinstance(result, DropError):
        return errors.document(result)
    return {"status": "ok", **(output.field(name, result) if name else {})}
