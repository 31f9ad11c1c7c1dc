"""What is started for a kind that the dataplane does not know: an adapter in front of the program.

Pure. An adapter is a worker of an ordinary kind (see DATA_KINDS in drop/flow/plan.py), and starts
the function's own command.
"""

from __future__ import annotations

LAMBDA_READY = "drop-lambda is ready"
"""The line that a worker of kind lambda begins with, when its runtime asks for its first event."""


def adapted(
    kind: str,
    argv: tuple[str, ...],
    *,
    package: str,
    python: str,
    timeout_ms: int,
    payload_max: int,
    memory_mib: int | None,
) -> tuple[str, ...]:
    """The command to start; of the other kinds it is the function's own.

    `package` is the directory of drop itself, `python` its interpreter, `timeout_ms` that of the
    pool, `payload_max` that of the node. An adapter is named by its path, since it runs with the
    environment of the function.
    """
    if kind not in ("lambda", "mcp"):
        return argv
    limits = ("--timeout-ms", str(timeout_ms), "--payload-max", str(payload_max))
    if kind == "mcp":
        return (python, "-I", "-S", f"{package}/adapters/run.py", "mcp", *limits, "--", *argv)
    memory = () if memory_mib is None else ("--memory-mib", str(memory_mib))
    ready = ("--ready", LAMBDA_READY)
    return (f"{package}/_fast/drop-lambda", *limits, *memory, *ready, "--", *argv)
