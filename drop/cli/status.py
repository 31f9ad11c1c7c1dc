"""`drop ping` and `drop stats`: is the node there, and what does it count."""

from __future__ import annotations

import json as json_module
import statistics
import time
from pathlib import Path

from drop.cli import errors, output
from drop.cli.errors import UsageError
from drop.cli.target import address_of, open_client

PAUSE_S = 0.2  # between two pings


def ping(
    *,
    count: int = 3,
    timeout: float | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Round trips through the reactor, without any function."""
    if count < 1:
        raise UsageError(f"--count {count}: expected 1 or more")
    times: list[float] = []
    with open_client(address, token_file, timeout) as client:
        for number in range(count):
            if number:
                time.sleep(PAUSE_S)
            times.append(client.ping() * 1e6)
            if not json:
                print(f"{times[-1]:.1f} us", flush=True)
    summary = {"min": min(times), "median": statistics.median(times), "max": max(times)}
    if json:
        rounded = {f"{name}_us": round(value, 1) for name, value in summary.items()}
        output.write_json({"address": str(address_of(address)), "count": count, **rounded})
    elif count > 1:
        print(", ".join(f"{name} {value:.1f} us" for name, value in summary.items()))
    return errors.OK


def stats(
    *,
    pool: str | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """The node's own document: on one line with `json`, indented for people otherwise."""
    with open_client(address, token_file) as client:
        document = client.statistics(pool)
    if json:
        output.write_json(document)
    else:
        print(json_module.dumps(document, indent=2))
    return errors.OK
