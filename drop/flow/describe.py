"""A flow as plain data for people and for JSON: what `drop flow info` shows of a file. Pure.

What runs (workers, states) is added by who knows it.
"""

from __future__ import annotations

import shlex
from typing import Any

from drop.flow.spec import Function, LoadedFlow
from drop.flow.support import refusals, warnings, workers_run


def describe(flow: LoadedFlow) -> dict[str, Any]:
    """JSON-ready; `refused` and `warnings` are lines of text with their places."""
    return {
        "name": flow.name,
        "file": flow.source.file,
        "priority": flow.spec.priority,
        "pools": [_describe_function(each) for each in flow.spec.func],
        "warnings": [str(each) for each in warnings(flow)],
        "refused": [str(each) for each in refusals(flow)],
    }


def _describe_function(function: Function) -> dict[str, Any]:
    return {
        "name": function.name,
        "command": shlex.join(function.cmd),
        "image": function.image,
        "kind": function.effective_kind,
        "workers_wanted": workers_run(function),
        "inflight": function.inflight,
        "queue": function.queue,
        "overflow": function.overflow,
        "timeout_ms": function.timeout,
        "retries": function.retries,
        "restart": function.restart,
        "subscriptions": [
            {"name": each.name, "filter": each.filter, "type": each.type} for each in function.sub
        ],
    }
