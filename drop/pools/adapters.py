"""The command of a worker: the function's own, or an adapter in front of it. Pure.

A program for somebody else's contract runs unchanged behind a small program that speaks ours.
"""

from __future__ import annotations

from pathlib import PurePath

from drop.adapters.command import adapted
from drop.flow.plan import Pool

MODULES = str(PurePath(__file__).parent.parent.parent)
"""What an adapter in Python has to see of us."""


def command_of(pool: Pool, payload_max: int) -> tuple[str, ...]:
    """What is started for each worker of the pool; `payload_max` is the node's."""
    return adapted(
        pool.launch.kind,
        pool.launch.argv,
        timeout_ms=pool.mailbox.timeout_ms,
        payload_max=payload_max,
        memory_mib=pool.launch.memory_mib,
    )
