"""Which part of the flow language this version runs. Pure.

The language is larger than this version. A key whose effect is missing is never passed over in
silence: where the function would do something else than its author relies on, the flow is refused;
where it only lacks a convenience or a limit, it runs and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from drop.errors import ConfigurationError
from drop.flow.spec import Function, LoadedFlow
from drop.problems import Path

KINDS_RUN = ("line", "frame")

_REFUSED = {
    "image": (
        "this version does not run containers",
        "no image, to run cmd as a plain process",
    ),
    "secrets": (
        "this version has no store of secrets",
        "no secrets; use env, or a file that the program reads",
    ),
    "user": (
        "this version runs every worker as the node's own user",
        "no user, and a node that runs as that user",
    ),
    "dead_letter": (
        "this version keeps no dead letters",
        "no dead_letter; failed messages are answered with an error and counted",
    ),
}

_WARNED = {
    "memory": "this version does not enforce the limit: the worker may use more",
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
    """How many workers a pool gets: without scaling, its minimum, and never none."""
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
    if function.effective_kind not in KINDS_RUN:
        yield _refused_kind(flow, path, function)


def _refused_kind(flow: LoadedFlow, path: Path, function: Function) -> ConfigurationError:
    kind, runs = function.effective_kind, " or ".join(KINDS_RUN)
    if function.kind:
        return flow.source.error(
            (*path, "kind"), f"this version does not run the kind {kind}", runs
        )
    message = f"the name {function.name!r} means kind {kind}, which this version does not run"
    return flow.source.error((*path, "name"), message, f"kind: {runs}, or another name")


def _warned(flow: LoadedFlow, path: Path, function: Function) -> Iterator[ConfigurationError]:
    for key, message in _WARNED.items():
        if getattr(function, key):
            yield flow.source.error((*path, key), message)
    if function.num.min != function.num.max:
        count = workers_run(function)
        message = f"this version does not scale: {count} worker{'s' * (count > 1)} will run"
        yield flow.source.error((*path, "num"), message)
