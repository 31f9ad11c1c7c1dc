"""Which part of the flow language this version runs. Pure.

The language is larger than this version. A key whose effect is missing is never passed over in
silence: where the function would do something else than its author relies on, the flow is refused;
where it only lacks a convenience or a limit, it runs and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from drop.errors import ConfigurationError
from drop.flow.spec import EXEC_WORKERS, Function, LoadedFlow
from drop.problems import Path

_REFUSED = {
    "dead_letter": (
        "this version keeps no dead letters",
        "no dead_letter; failed messages are answered with an error and counted",
    ),
}

_WARNED = {
    "idle": "this version does not scale: idle workers stay",
}


def refusals(flow: LoadedFlow) -> list[ConfigurationError]:
    """What keeps this version from running the flow as it is meant."""
    return [each for path, function in _functions(flow) for each in _refused(flow, path, function)]


def warnings(flow: LoadedFlow) -> list[ConfigurationError]:
    """What this version does not do, although the flow asks for it; the flow runs without."""
    notes = [each for path, function in _functions(flow) for each in _warned(flow, path, function)]
    if flow.spec.priority == 1:
        message = "this version has no namespaces: the flow runs on this node"
        notes.insert(0, flow.source.error(("priority",), message))
    return notes


def workers_run(function: Function) -> int:
    """How many workers a pool gets: without scaling, its minimum, and never none.

    Of kind exec: how many processes may run at a time, which start and end with the load.
    """
    if function.effective_kind == "exec":
        return function.num.max if "num" in function.model_fields_set else EXEC_WORKERS
    return max(1, function.num.min)


def _functions(flow: LoadedFlow) -> Iterator[tuple[Path, Function]]:
    for index, function in enumerate(flow.spec.func):
        yield ("func", index), function


def _refused(flow: LoadedFlow, path: Path, function: Function) -> Iterator[ConfigurationError]:
    for key, (message, expected) in _REFUSED.items():
        if getattr(function, key):
            yield flow.source.error((*path, key), message, expected)
    if function.delivery == "durable":
        message = "this version has no durable delivery"
        yield flow.source.error((*path, "delivery"), message, "at-most-once")


def _warned(flow: LoadedFlow, path: Path, function: Function) -> Iterator[ConfigurationError]:
    for key, message in _WARNED.items():
        if getattr(function, key):
            yield flow.source.error((*path, key), message)
    if function.num.min != function.num.max and function.effective_kind != "exec":
        count = workers_run(function)
        message = f"this version does not scale: {count} worker{'s' * (count > 1)} will run"
        yield flow.source.error((*path, "num"), message)
