"""`drop logs`: what workers wrote to stderr, from the node's log files on this machine."""

from __future__ import annotations

import fnmatch
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from json import dumps
from pathlib import Path

from drop.cli import errors
from drop.cli.errors import CommandError, UsageError
from drop.cli.flow import control
from drop.cli.target import address_of, open_client
from drop.host.limits import raise_descriptor_limit
from drop.workers.logline import Selection, parse_call, parse_line, parse_since
from drop.workers.logs import LogReader, logged_pools, read_log

LINES = 20  # shown when nothing else says how many
PAUSE_S = 0.2  # between two looks for new lines
SHOWN = 10  # names in a message

Choose = Callable[[], list[str]]


def logs(
    *,
    pool: str | None = None,
    flow: str | None = None,
    follow: bool = False,
    lines: int | None = None,
    since: str | None = None,
    grep: str | None = None,
    call: str | None = None,
    worker: int | None = None,
    directory: Path | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """The last lines that match, then with `follow` those that come, until Ctrl-C.

    Of one pool, of those whose names match a pattern with `*`, of a flow's, or of all of them.
    """
    selection = _selection(since, grep, call, worker)
    if lines is not None and lines < 0:
        raise UsageError(f"--lines {lines}: expected 0 or more")
    where = _directory(directory, address, token_file)
    choose = _chooser(where, pool, _pools_of(flow, address, token_file))
    if not choose():
        if pool and not _is_pattern(pool):
            _check_name(where, pool)
            if directory is None and not follow:
                with open_client(address, token_file) as client:
                    client.statistics(pool)  # raises NoPool, which names similar ones
        _tell_of_silence(where, pool, flow)
    if lines is None and since is None and call is None:
        lines = LINES
    show = _show_json if json else _show
    raise_descriptor_limit()  # each file of each log is open while they are merged
    try:
        for line in read_log(
            str(where), choose, lines=lines, selection=selection, wait=_wait if follow else None
        ):
            show(line)
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
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
        "call": parsed.call,
        "text": parsed.text,
    }


def _show(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")


def _show_json(line: bytes) -> None:
    sys.stdout.write(dumps(document_of(line)) + "\n")


def _wait() -> bool:
    sys.stdout.flush()
    time.sleep(PAUSE_S)
    return True


# --- which lines ---


def _selection(
    since: str | None, grep: str | None, call: str | None, worker: int | None
) -> Selection:
    if worker is not None and worker < 0:
        raise UsageError(f"--worker {worker}: expected a worker's number, or 0 for the node itself")
    return Selection(
        since=None if since is None else _start(since),
        pattern=None if grep is None else _pattern(grep),
        call=None if call is None else _call(call),
        worker=worker,
    )


def _pattern(grep: str) -> re.Pattern[bytes]:
    try:
        return re.compile(grep.encode())
    except re.error as error:
        raise UsageError(f"--grep {grep!r}: {error}; expected a regular expression") from None


def _start(since: str) -> bytes:
    try:
        return parse_since(since, datetime.now(UTC))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--since {error}") from None


def _call(call: str) -> bytes:
    try:
        return parse_call(call)
    except ValueError as error:
        raise UsageError(f"--call {error}") from None


# --- which pools ---


def _is_pattern(pool: str) -> bool:
    return "*" in pool or "?" in pool


def _chooser(where: Path, pattern: str | None, pools: frozenset[str] | None) -> Choose:
    """Says which of the pools that have a log are wanted; looks at the directory each time."""

    def choose() -> list[str]:
        return [
            name
            for name in logged_pools(str(where))
            if (pattern is None or fnmatch.fnmatchcase(name, pattern))
            and (pools is None or name in pools)
        ]

    return choose


def _check_name(where: Path, pool: str) -> None:
    """Whether there could ever be a log of this pool."""
    try:
        LogReader(str(where), pool).close()
    except ValueError as error:
        raise UsageError(str(error)) from None


def _pools_of(
    flow: str | None, address: str | None, token_file: Path | None
) -> frozenset[str] | None:
    """None: it is not about a flow."""
    if flow is None:
        return None
    reply = control(address, token_file, "flow.info", name=flow)
    return frozenset(pool["name"] for pool in reply["pools"])


def _tell_of_silence(where: Path, pool: str | None, flow: str | None) -> None:
    others = logged_pools(str(where))
    who = pool or (f"no pool of the flow {flow}" if flow else "no pool")
    verb = "has logged anything" if pool is None else "has logged nothing"
    if pool and _is_pattern(pool):
        who, verb = f"no pool like {pool}", "has logged anything"
    sys.stderr.write(f"drop: {who} {verb} in {where}\n")
    if others:
        more = ", ..." if len(others) > SHOWN else ""
        sys.stderr.write(f"  there are logs of {', '.join(others[:SHOWN])}{more}\n")


# --- where ---


def _directory(directory: Path | None, address: str | None, token_file: Path | None) -> Path:
    if directory is None:
        return _directory_of(address, token_file)
    if not directory.is_dir():
        raise UsageError(f"--directory {directory}: expected the directory of a node's logs")
    return directory


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
