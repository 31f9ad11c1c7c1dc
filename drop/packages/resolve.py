"""From a package's name in a flow to what runs: the installed function under the flow's own keys.

What the flow says wins; what it leaves out comes from the package. `env` and `env_file` are
joined, the flow's values over the package's. What is wrong is told with its place in the flow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from drop.errors import ConfigurationError
from drop.flow.rules import cross_faults
from drop.flow.spec import Function, Kind, LoadedFlow
from drop.packages.faults import PackageError
from drop.packages.manifest import SHARED_KEYS
from drop.packages.names import A_NAME, Reference, newest, parse_reference
from drop.packages.store import Installed, PackageStore
from drop.problems import ConfigurationErrors, Path

A_PACKAGE = "NAME or NAME:VERSION of an installed package (`drop fun list`)"


@dataclass(frozen=True, slots=True)
class Resolved:
    """An installed function, ready to be run: every path in it is absolute."""

    name: str
    version: str
    function: Function
    files: str
    """The directory with the package's files."""

    @property
    def cmd(self) -> tuple[str, ...]:
        return self.function.cmd

    @property
    def kind(self) -> Kind:
        return self.function.effective_kind

    @property
    def cwd(self) -> str:
        assert self.function.cwd is not None, "resolving has set it"
        return self.function.cwd


def resolve(store: PackageStore, reference: str) -> Resolved:
    """What NAME or NAME:VERSION stands for at this moment. Raises PackageError."""
    parsed = parse_reference(reference)
    if parsed is None:
        text = f"{reference!r} names no package; expected {A_NAME}, and perhaps :VERSION"
        raise PackageError(text, "bad_reference")
    return resolved(store.find(parsed))


def latest(store: PackageStore, name: str) -> str | None:
    """The newest installed version of a package; None: there is none."""
    return store.latest(name)


def resolved(installed: Installed) -> Resolved:
    """The function of a package as it runs where it is installed."""
    package, files = installed.package, str(installed.files)
    return Resolved(package.name, package.version, placed(package.manifest.function, files), files)


def placed(function: Function, directory: str) -> Function:
    """The function with its directory, program and files of variables made absolute."""
    cwd = os.path.normpath(os.path.join(directory, function.cwd or ""))
    changes: dict[str, Any] = {"cwd": cwd, "kind": function.effective_kind}
    if function.cmd and "/" in function.cmd[0] and not function.image:
        changes["cmd"] = (str(PurePosixPath(cwd, function.cmd[0])), *function.cmd[1:])
    if function.env_file:
        changes["env_file"] = tuple(os.path.join(directory, each) for each in function.env_file)
    return function.model_copy(update=changes)


def with_packages(flow: LoadedFlow, store: PackageStore) -> LoadedFlow:
    """The flow with every `package` resolved. Raises ConfigurationErrors, all faults at once."""
    functions: list[Function] = []
    faults: list[ConfigurationError] = []
    for index, function in enumerate(flow.spec.func):
        path: Path = ("func", index)
        try:
            found = resolve(store, function.package) if function.package else None
        except PackageError as error:
            faults.append(flow.source.error((*path, "package"), str(error), A_PACKAGE))
            continue
        if found:
            function = with_package(function, found)
            faults += _faults(flow, path, function, found)
        functions.append(function)
    if faults:
        raise ConfigurationErrors(faults)
    return replace(flow, spec=flow.spec.model_copy(update={"func": tuple(functions)}))


def with_package(function: Function, package: Resolved) -> Function:
    """The flow's function with what the package says where the flow says nothing."""
    said = function.model_fields_set
    theirs = package.function
    changes = {
        key: getattr(theirs, key)
        for key in SHARED_KEYS
        if key in theirs.model_fields_set and key not in said
    }
    if "cmd" in said:  # another program: then the package's image is not meant either
        changes.pop("image", None)
    changes["env"] = {**theirs.env, **function.env}
    changes["env_file"] = (*theirs.env_file, *function.env_file)  # later ones win
    return function.model_copy(update=changes)


def _faults(
    flow: LoadedFlow, path: Path, function: Function, package: Resolved
) -> Iterator[ConfigurationError]:
    """The rules that depend on the kind, once more: it is only known now."""
    raw: dict[str, object] = {
        "name": function.name,
        "kind": function.effective_kind,
        "cmd": list(function.cmd) or ["-"],
        "newline": function.newline,
        "sub": [each.model_dump() for each in function.sub],
        **{key: True for key in ("spare", "ready", "health") if getattr(function, key) is not None},
    }
    for fault in cross_faults({"func": [raw]}):
        message = f"{fault.message} (package {package.name}:{package.version})"
        yield flow.source.error((*path, *fault.path[2:]), message, fault.expected)


def references(flow: LoadedFlow) -> list[Reference]:
    """The packages that a flow names, in its order; what is no reference is left out."""
    texts = (function.package for function in flow.spec.func)
    return [found for text in texts if text and (found := parse_reference(text))]


def users(
    flows: Iterable[tuple[str, Iterable[Reference]]], name: str, versions: Iterable[str]
) -> dict[str, list[str]]:
    """By version of package `name`: the flows that use it, of `(flow, its references)`. Pure.

    A flow that names no version uses the newest of `versions`, which are the installed ones.
    """
    best = newest(versions)
    used: dict[str, list[str]] = {}
    for flow, named in flows:
        for each in named:
            version = each.version or best
            if each.name == name and version is not None and flow not in used.get(version, ()):
                used.setdefault(version, []).append(flow)
    return used
