"""The flows of a node: which there are, which run, and starting, stopping and reloading them.

Two kinds: those *given* on the command line, read from where they are, and those *stored* in the
flow directory, which come back after a restart. Every change is planned for all flows together
before anything is touched, so a bad flow leaves the running ones as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from drop.errors import ConfigurationError
from drop.flow.plan import Wiring, wiring
from drop.flow.runner import Runner
from drop.flow.spec import LoadedFlow
from drop.flow.store import FlowStore, read_flow
from drop.flow.support import warnings
from drop.problems import ConfigurationErrors

Kind = Literal["bad_flow", "not_found", "conflict"]
Activity = Literal["running", "starting", "stopping", "stopped"]


class FlowError(Exception):
    """A flow cannot be started, stopped or reloaded; nothing has changed."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Entry:
    """A flow that the node knows."""

    flow: LoadedFlow
    file: Path
    """Where it is read from at the next reload."""
    stored: bool
    activity: Activity

    @property
    def name(self) -> str:
        return self.flow.name

    @property
    def wanted(self) -> bool:
        return self.activity in ("running", "starting")


class Flows:
    def __init__(
        self,
        runner: Runner,
        store: FlowStore,
        given: Sequence[str],
        *,
        grace_seconds: float,
        report: Callable[[ConfigurationError], None],
        resolve: Callable[[LoadedFlow], LoadedFlow],
    ) -> None:
        """`report` gets what a person should know and what stops nothing. `resolve` puts in what a
        flow takes from packages, when it is read: a flow without a version stays with the one it
        was started with until it is read again. Raises ConfigurationError."""
        self._runner = runner
        self._store = store
        self._given = tuple(Path(file).absolute() for file in given)
        self._grace_seconds = grace_seconds
        self._report = report
        self._resolve = resolve
        self._lock = asyncio.Lock()
        self.entries: dict[str, Entry] = {}

    async def open(self) -> None:
        """Start what is given and what was stored. Raises ConfigurationError for the given ones.

        A stored flow that has become bad is reported and left out: it must not keep a node, and
        with it all the others, from starting.
        """
        async with self._lock:
            given = self._read(self._given)
            stored = self._stored(self._report)
            while True:
                entries = [*given, *stored]
                try:
                    shall = wiring(_flows(entries))
                    break
                except ConfigurationErrors as errors:
                    bad = {error.file for error in errors.errors}
                    kept = [entry for entry in stored if entry.flow.source.file not in bad]
                    if len(kept) == len(stored):
                        raise
                    for error in errors.errors:
                        self._report(error)
                    stored = kept
            await self._apply(entries, shall)

    async def start(self, file: str) -> Entry:
        """Start the flow in a file. A copy is kept, unless it is a given one. Raises FlowError."""
        async with self._lock:
            try:
                flow, data = read_flow(file)
                flow = self._resolve(flow)
            except ConfigurationError as error:
                raise FlowError("bad_flow", str(error)) from error
            known = self.entries.get(flow.name)
            given = known is not None and not known.stored
            if known and (known.wanted or (given and not _same_file(known.file, file))):
                hint = f"`drop flow stop {flow.name}` first, or give this one another name"
                text = f"there is a flow {flow.name!r} already, from {known.file}: {hint}"
                raise FlowError("conflict", text)
            if known and given:
                return await self._restart(replace(known, flow=flow))
            target = self._store.directory / f"{flow.name}.yaml"
            entry = Entry(flow, target, stored=True, activity="running")
            await self._change(self._with(entry))
            self._keep(lambda: self._store.save(flow, data))
            return entry

    async def start_known(self, name: str) -> Entry:
        """Start a flow that was stopped. Raises FlowError."""
        async with self._lock:
            known = self.known(name)
            if known.wanted:
                raise FlowError("conflict", f"the flow {name!r} runs already")
            try:
                if known.stored:
                    flow = self._store.load(known.file)
                else:
                    flow, _ = read_flow(str(known.file))
                flow = self._resolve(flow)
            except ConfigurationError as error:
                raise FlowError("bad_flow", str(error)) from error
            return await self._restart(replace(known, flow=flow))

    async def stop(self, name: str) -> None:
        """Finish what the flow has accepted, then end its workers. Raises FlowError."""
        async with self._lock:
            known = self.known(name)
            if not known.wanted:
                raise FlowError("conflict", f"the flow {name!r} is stopped already")
            await self._change(self._with(replace(known, activity="stopped")))
            if known.stored:
                self._keep(lambda: self._store.set_stopped(known.file, True))

    async def reload(self) -> None:
        """Read all files again and change what has changed. Raises FlowError."""
        async with self._lock:
            faults: list[ConfigurationError] = []
            entries = self._stored(faults.append)
            for file in self._given:
                try:
                    entries += self._read([file])
                except ConfigurationError as error:
                    faults.append(error)
            if faults:
                raise FlowError("bad_flow", str(ConfigurationErrors(_flat(faults))))
            await self._change([self._as_before(entry) for entry in entries])

    def known(self, name: str) -> Entry:
        """Raises FlowError."""
        if name not in self.entries:
            names = ", ".join(sorted(self.entries)) or "none"
            raise FlowError("not_found", f"there is no flow {name!r}; there are: {names}")
        return self.entries[name]

    async def close(self, grace_seconds: float) -> None:
        """Stop everything; the node ends."""
        async with self._lock:
            await self._runner.apply(Wiring(), grace_seconds)

    # --- the parts of a change; the lock is held ---

    async def _restart(self, stopped: Entry) -> Entry:
        entry = replace(stopped, activity="running")
        await self._change(self._with(entry))
        if entry.stored:
            self._keep(lambda: self._store.set_stopped(entry.file, False))
        return entry

    async def _change(self, entries: Sequence[Entry]) -> None:
        """Raises FlowError."""
        try:
            await self._apply(entries, wiring(_flows(entries)))
        except ConfigurationError as error:
            raise FlowError("bad_flow", str(error)) from error

    async def _apply(self, entries: Sequence[Entry], shall: Wiring) -> None:
        """Raises ConfigurationError, and then all is as before."""
        before, after = self.entries, {entry.name: entry for entry in entries}
        self._warn(entry.flow for entry in entries if entry.wanted)
        underway = {name: _underway(before.get(name), entry) for name, entry in after.items()}
        self.entries = {**before, **underway}
        try:
            await self._runner.apply(shall, self._grace_seconds)
        except ValueError as error:
            self.entries = before
            what = f"the dataplane cannot take them: {error}"
            raise ConfigurationError(what, file="flows") from error
        self.entries = after

    def _warn(self, flows: Iterable[LoadedFlow]) -> None:
        """Once for each flow and each reading of it."""
        known = [entry.flow for entry in self.entries.values() if entry.wanted]
        for flow in flows:
            for warning in warnings(flow) if flow not in known else ():
                self._report(warning)

    def _with(self, entry: Entry) -> list[Entry]:
        """All flows, this one as given."""
        return list({**self.entries, entry.name: entry}.values())

    def _read(self, files: Iterable[Path]) -> list[Entry]:
        return [
            Entry(self._resolve(read_flow(str(file))[0]), file, stored=False, activity="running")
            for file in files
        ]

    def _stored(self, fault: Callable[[ConfigurationError], None]) -> list[Entry]:
        entries = []
        for file in self._store.files():
            try:
                stopped = self._store.state(file).stopped
                flow = self._resolve(self._store.load(file))
            except ConfigurationError as error:
                fault(error)
            else:
                activity: Activity = "stopped" if stopped else "running"
                entries.append(Entry(flow, file, stored=True, activity=activity))
        return entries

    def _as_before(self, entry: Entry) -> Entry:
        """A given flow that was stopped by a person stays so until the node starts anew."""
        known = self.entries.get(entry.name)
        if known and not entry.stored and not known.wanted:
            return replace(entry, activity="stopped")
        return entry

    def _keep(self, write: Callable[[], object]) -> None:
        """The flow runs or is stopped already; a full disk only costs what a restart would do."""
        try:
            write()
        except OSError as error:
            text = f"cannot be written ({error.strerror}): the change is lost at the next restart"
            self._report(ConfigurationError(text, file=str(self._store.directory)))


def _flows(entries: Iterable[Entry]) -> list[LoadedFlow]:
    return [entry.flow for entry in entries if entry.wanted]


def _same_file(one: Path, other: str) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _underway(before: Entry | None, after: Entry) -> Entry:
    """What to show while the change goes on."""
    if after.wanted and not (before and before.wanted):
        return replace(after, activity="starting")
    if before and before.wanted and not after.wanted:
        return replace(after, activity="stopping")
    return after


def _flat(faults: Iterable[ConfigurationError]) -> list[ConfigurationError]:
    errors: list[ConfigurationError] = []
    for fault in faults:
        errors += fault.errors if isinstance(fault, ConfigurationErrors) else [fault]
    return errors
