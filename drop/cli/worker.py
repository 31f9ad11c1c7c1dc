"""`drop worker`: the processes behind the pools, as the node's control plane sees them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from drop.cli import errors, output
from drop.cli.flow import control, print_table, processes_text

Document = dict[str, Any]

RESTART_SECONDS = 115.0
"""The node answers after 100 s at the latest."""

COLUMNS = ("pool", "worker", "pid", "state", "restarts", "since", "memory")


def worker_list(
    *,
    flow: str | None = None,
    pool: str | None = None,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """The workers of the node, of a flow or of a pool, and what each is doing."""
    reply = control(address, token_file, "worker.list", flow=flow, pool=pool)
    if json:
        output.write_json(reply)
        return errors.OK
    if not reply["workers"] and not reply["processes"]:
        sys.stderr.write("no workers: `drop flow start FILE` starts a flow\n")
        return errors.OK
    if reply["workers"]:
        print_table(COLUMNS, [_row(worker) for worker in reply["workers"]])
    for each in reply["processes"]:
        print(f"{each['pool']}: {processes_text(each)}")
    return errors.OK


def worker_restart(
    *,
    target: str,
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Starts the workers of a pool anew, one after the other, or one of them (POOL/N)."""
    reply = control(address, token_file, "worker.restart", timeout=RESTART_SECONDS, target=target)
    if json:
        output.write_json(reply)
    elif not reply["complete"]:
        print(f"{target}: still at it; `drop worker list --pool {reply['pool']}` shows how far")
    elif reply["replaced"] is None:
        print(f"{target}: what waits for a message was replaced, what has one ends by itself")
    else:
        print(f"{target}: {_counted(reply['replaced'])} restarted")
    return errors.OK


def worker_kill(
    *,
    target: str,
    signal: str = "SIGKILL",
    json: bool = False,
    address: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Sends a signal to a worker and all that it has started; the node starts another one."""
    reply = control(address, token_file, "worker.kill", target=target, signal=signal)
    if json:
        output.write_json(reply)
    else:
        print(f"{target}: {reply['signal']} sent to process {reply['pid']}")
    return errors.OK


def _row(worker: Document) -> tuple[str, ...]:
    rss = worker["rss_bytes"]
    return (
        worker["pool"],
        str(worker["worker"]),
        str(worker["pid"] or "-"),
        _state(worker),
        str(worker["restarts"]),
        worker["since"],
        "-" if rss is None else f"{rss / (1 << 20):.1f} MiB",
    )


def _state(worker: Document) -> str:
    words = [worker["state"]]
    if worker["seconds_left"] is not None:
        words.append(f"{worker['seconds_left']:.1f} s")
    if worker["stand_in"]:
        words.append("(stand-in)")
    elif worker["old"]:
        words.append("(to be replaced)")
    return " ".join(words)


def _counted(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"
