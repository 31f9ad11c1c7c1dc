"""The command of a worker: the function's own, or an adapter in front of it. Pure.

A program for somebody else's contract runs unchanged behind a small program that speaks ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from drop.flow.plan import Pool


def command_of(pool: Pool) -> tuple[str, ...]:
    """What is started for each worker of the pool."""
    return (*_adapter(pool), *pool.launch.argv)


def _adapter(pool: Pool) -> Sequence[str]:
    match pool.launch.kind:
        case "lambda":
            from drop.adapters import lambda_program

            timeout = ("--timeout-ms", str(pool.mailbox.timeout_ms))
            return (lambda_program(), *timeout, "--")
        case "mcp":
            return (sys.executable, "-m", "drop.adapters.mcp", "--")
    return ()
