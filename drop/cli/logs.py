"""`drop logs`: what a pool's workers wrote to stderr, from the node's log files on this machine."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from drop.cli import errors, output
from drop.cli.errors import CommandError, UsageError
from drop.cli.flow import control
from drop.cli.target import address_of, open_client
from drop.workers.logs import logged_pools, parse_line, parse_since, read_log

LINES = 20  # shown when neither --lines nor --since says more
PAUSE_S = 0.2  # between two looks for new lines


def logs(
    *,
    pool: str,
    follow: bool = False,
    lines: int | None = None,
    since: str | None = None,
    grep: str | None = None,
    directory: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """The last lines that match, then with `follow` those that come, until Ctrl-C."""
    pattern, start = _pattern(grep), _start(since)
    if lines is not None and lines < 0:
        raise UsageError(f"--lines {lines}: expected 0 or more")
    where = directory or _directory_of(address, token_file)
    if pool not in logged_pools(str(where)):
        if directory is None:
            with open_client(address, token_file) as client:
                client.statistics(pool)  # raises NoPool, which names similar ones
        sys.stderr.write(f"drop: {pool} has logged nothing in {where}\n")
    shown = lines if lines is not None or start is not None else LINES
    try:
        for line in read_log(
            str(where),
            pool,
            lines=shown,
            since=start,
            pattern=pattern,
            wait=_wait if follow else None,
        ):
            if json:
                output.write_json(document_of(line))
            else:
                sys.stdout.buffer.write(line + b"\n")
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except ValueError as error:
        raise UsageError(str(error)) from None
    return errors.OK


def document_of(line: bytes) -> dict[str, object]:
    """A line of the log by its parts; only `text` for one that the logger has not written whole."""
    parsed = parse_line(line)
    if parsed is None:
        return {"text": line.decode(errors="replace")}
    return {
        "time": parsed.time,
        "pool": parsed.pool,
        "worker": parsed.worker,
        "pid": parsed.pid,
        "text": parsed.text,
    }


def _wait() -> bool:
    sys.stdout.flush()
    time.sleep(PAUSE_S)
    return True


def _pattern(grep: str | None) -> re.Pattern[bytes] | None:
    if grep is None:
        return None
    try:
        return re.compile(grep.encode())
    except re.error as error:
        raise UsageError(f"--grep {grep!r}: {error}; expected a regular expression") from None


def _start(since: str | None) -> bytes | None:
    if since is None:
        return None
    try:
        return parse_since(since, datetime.now(UTC))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--since {error}") from None


def _directory_of(address: str | None, token_file: Path | None) -> Path:
    """Where the node says that it logs; it has to be a node of this machine."""
    directory = Path(control(address, token_file, "node.info")["log_dir"])
    if not directory.is_dir():
        raise CommandError(
            f"the node at {address_of(address)} logs in {directory}, which is not on this machine;"
            " run this there, or name a copy with --directory",
            "not_found",
            errors.USAGE,
        )
    return directory
