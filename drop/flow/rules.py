"""The rules of a flow file that concern several keys. Pure.

They are checked on the raw values and not in the models, so that every fault of a file is reported
at once: a validator of a whole model does not run while one of its fields is wrong. So nothing
here may rely on a value being of the right type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drop.flow.command import A_COMMAND
from drop.flow.spec import kind_by_name
from drop.images.faults import ReferenceFault
from drop.images.reference import parse
from drop.images.settings import settings_of
from drop.problems import Path
from drop.validation import as_written


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule between several keys that a document breaks."""

    path: Path
    message: str
    expected: str


def cross_faults(document: object) -> Iterator[Fault]:
    """What a document breaks, whatever else is wrong with it."""
    functions = document.get("func") if isinstance(document, Mapping) else None
    if not isinstance(functions, list):
        return
    first: dict[str, int] = {}
    for index, function in enumerate(functions):
        if not isinstance(function, Mapping):
            continue
        path: Path = ("func", index)
        name = as_written(function.get("name"))
        if isinstance(name, str):
            if name in first:
                other = f"func[{first[name]}]"
                yield Fault(
                    (*path, "name"), f"{other} has the name {name!r} already", "each pool once"
                )
            first.setdefault(name, index)
        yield from _function_faults(function, path, str(name))


def _function_faults(function: Mapping[str, object], path: Path, name: str) -> Iterator[Fault]:
    kind = function.get("kind") or kind_by_name(name)
    if not function.keys() & {"cmd", "image", "package"}:
        yield Fault((*path, "cmd"), "the key 'cmd' is missing", A_COMMAND)
    yield from _image_faults(function.get("image"), (*path, "image"))
    if "image" in function and "package" in function:
        yield Fault((*path, "package"), "found an image as well", "one of the two")
    if function.get("newline") == "ncm" and kind not in ("line", "async", "stream"):
        yield Fault(
            (*path, "newline"),
            f"ncm is for line-framed kinds, and this one is {kind}",
            "refuse, or no such key",
        )
    if kind == "stream" and function.get("sub"):
        yield Fault((*path, "sub"), "a function of kind stream takes no messages", "no such key")
    yield from _kind_faults(function, path, str(kind))
    yield from _containment_faults(function.get("contain"), (*path, "contain"))
    yield from _workers_faults(function.get("num"), (*path, "num"))
    yield from _environment_faults(function.get("env"), (*path, "env"))
    yield from _subscription_faults(function.get("sub"), (*path, "sub"))


def _image_faults(image: object, path: Path) -> Iterator[Fault]:
    if not isinstance(image, str):
        return
    try:
        settings_of(parse(image))
    except ReferenceFault as fault:
        yield Fault(path, fault.found, fault.expected)


_KINDS_OF_KEY = {
    "spare": ("exec",),
    "ready": ("line", "frame", "async", "stream"),
    "start": ("line", "frame", "async", "stream"),
    "health": ("line", "frame", "async"),
}


def _kind_faults(function: Mapping[str, object], path: Path, kind: str) -> Iterator[Fault]:
    for key, kinds in _KINDS_OF_KEY.items():
        if key in function and kind not in kinds and "package" not in function:
            what = f"{key} is for the kinds {', '.join(kinds)}, and this one is {kind}"
            yield Fault((*path, key), what, "no such key")
    if "start" in function and not function.keys() & {"ready", "package"}:
        what = "start is the time until a worker says `ready`, which is not given"
        yield Fault((*path, "start"), what, "ready as well")


def _containment_faults(contain: object, path: Path) -> Iterator[Fault]:
    if not isinstance(contain, Mapping):
        return
    if contain.get("write") and contain.get("filesystem") != "read-only":
        what = "write names exceptions of `filesystem: read-only`, which is not given"
        yield Fault((*path, "write"), what, "filesystem: read-only as well")


def _workers_faults(num: object, path: Path) -> Iterator[Fault]:
    if isinstance(num, Mapping):
        low, high = num.get("min"), num.get("max")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            yield Fault((*path, "min"), f"found min: {low} with max: {high}", "min not above max")


def _environment_faults(env: object, path: Path) -> Iterator[Fault]:
    for name in env if isinstance(env, Mapping) else ():
        if str(name).startswith("DROP_"):
            yield Fault(
                (*path, name), "names that start with DROP_ are set by the node", "another name"
            )
        if name == "CREDENTIALS_DIRECTORY":
            yield Fault((*path, name), "the node sets it, for `secrets`", "another name")


def _subscription_faults(subscriptions: object, path: Path) -> Iterator[Fault]:
    first: dict[tuple[str, ...], int] = {}
    for index, each in enumerate(subscriptions if isinstance(subscriptions, list) else ()):
        if not isinstance(each, Mapping):
            continue
        filter_ = each.get("filter") or "no"
        mode = str(each.get("type", "one")).replace("sone", "one")
        identity = (str(as_written(each.get("name"))), str(as_written(filter_)), mode)
        if identity in first:
            yield Fault(
                (*path, index), f"says the same as sub[{first[identity]}]", "each subscription once"
            )
        first.setdefault(identity, index)
