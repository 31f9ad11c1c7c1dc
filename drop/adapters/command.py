"""What is started for a kind that the dataplane does not know: an adapter in front of the program.

Pure. An adapter is a worker of an ordinary kind (see DATA_KINDS in drop/flow/plan.py), and starts
the function's own command. It is named by its path, since it runs with the directory and the
environment of the function.
"""

from __future__ import annotations

import sys

from drop.adapters import PACKAGE, lambda_program

LAMBDA_READY = "drop-lambda is ready"
"""The line that a worker of kind lambda can begin with, once its runtime asks for an event."""


def adapted(
    kind: str,
    argv: tuple[str, ...],
    *,
    timeout_ms: int,
    payload_max: int,
    memory_mib: int | None = None,
    tells_ready: bool = False,
) -> tuple[str, ...]:
    """The command to start; of the other kinds it is the function's own.

    `timeout_ms` is that of the pool, `payload_max` that of the node. With `tells_ready` a worker of
    kind lambda writes LAMBDA_READY first, which the dataplane has to expect then.
    """
    limits = ("--timeout-ms", str(timeout_ms), "--payload-max", str(payload_max))
    if kind == "mcp":
        return (
            sys.executable,
            "-I",
            "-S",
            f"{PACKAGE}/adapters/run.py",
            kind,
            *limits,
            "--",
            *argv,
        )
    if kind == "lambda":
        memory = () if memory_mib is None else ("--memory-mib", str(memory_mib))
        ready = ("--ready", LAMBDA_READY) if tells_ready else ()
        return (lambda_program(), *limits, *memory, *ready, "--", *argv)
    return argv
