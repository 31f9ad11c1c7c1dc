"""The environment of a worker: what design grants every function, and nothing that leaks in.

Pure: reads no environment itself.
"""

from __future__ import annotations

from collections.abc import Mapping

INHERITED = ("PATH", "LANG", "TZ", "HOME")
"""Taken over from the node where it has them; whatever else it has may be a secret of its own."""

PATH = "/usr/local/bin:/usr/bin:/bin"
"""For a node that was started without one."""


def worker_environment(
    inherited: Mapping[str, str],
    *,
    node: str,
    flow: str,
    pool: str,
    kind: str,
    newline: str,
    extra: Mapping[str, str],
) -> dict[str, str]:
    """The variables of the workers of a pool, but for DROP_WORKER, which has each one's number and
    is set when it is started; `extra` is what the flow names, and wins over what is inherited.

    The DROP_* names are the node's: a flow cannot make a worker believe it is another one.
    """
    own = {
        "DROP_NODE": node,
        "DROP_FLOW": flow,
        "DROP_POOL": pool,
        "DROP_KIND": kind,
    }
    if newline != "refuse":
        own["DROP_NEWLINE"] = newline
    taken = {name: inherited[name] for name in INHERITED if name in inherited}
    return {"PATH": PATH} | taken | dict(extra) | own
