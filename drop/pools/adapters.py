"""The command of a worker: the function's own, or an adapter in front of it. Pure.

A program for somebody else's contract runs unchanged behind a small program that speaks ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePath

from drop.flow.plan import Pool

_TREE = PurePath(__file__).parent.parent
LAMBDA = str(_TREE / "_fast" / "drop-lambda")
"""Built from c_src/programs/drop-lambda.c."""
RUN = str(_TREE / "adapters" / "run.py")
MODULES = str(_TREE.parent)
"""What an adapter in Python has to see of us."""


def command_of(pool: Pool) -> tuple[str, ...]:
    """What is started for each worker of the pool."""
    return (*_adapter(pool), *pool.launch.argv)


def _adapter(pool: Pool) -> Sequence[str]:
    match pool.launch.kind:
        case "lambda":
            return (LAMBDA, "--timeout-ms", str(pool.mailbox.timeout_ms), "--")
        case "mcp":
            return (sys.executable, "-I", "-S", RUN, "mcp", "--")
    return ()
