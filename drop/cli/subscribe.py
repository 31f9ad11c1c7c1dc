"""`drop subscribe`: the answers of a pool, a line for each as it comes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from drop.cli import errors, output
from drop.cli.errors import UsageError
from drop.cli.target import open_client


def subscribe(
    *,
    pool: str,
    filter: str = "",
    wait: bool = False,
    count: int | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Runs until `count` events came, or SIGINT or SIGTERM, which is no failure."""
    if count is not None and count < 1:
        raise UsageError(f"--count {count}: expected 1 or more")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seen, lost = 0, 0
    try:
        with (
            open_client(address, token_file) as client,
            client.subscribe(pool, os.fsencode(filter), wait=wait) as events,
        ):
            for event in events:
                if events.lost != lost:
                    _tell_lost(events.lost - lost)
                    lost = events.lost
                if json:
                    output.write_json(output.field("event", event))
                else:
                    output.write_bytes(event)
                seen += 1
                if seen == count:
                    break
    except KeyboardInterrupt:
        pass
    return errors.OK


def _tell_lost(count: int) -> None:
    sys.stderr.write(
        f"drop: {count} events were lost: they come faster than they are read here;"
        " --wait slows the pool down instead\n"
    )
