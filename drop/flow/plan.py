"""From the flows that shall run, and what runs, to what has to be done. Pure.

    loaded flows -> wiring() -> Wiring (the pools and subscriptions that shall exist)
    Wiring that runs, Wiring that shall -> changes() -> actions, in the order to do them

`wiring` raises every conflict at once, so a bad flow changes nothing. `changes` leaves alone what
is the same on both sides: a reload of an edited file touches the edited pools only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

from drop.errors import ConfigurationError
from drop.flow.sections import Contain, Health, ProcessLimits
from drop.flow.spec import Function, Kind, LoadedFlow, Overflow
from drop.flow.support import refusals, workers_run
from drop.problems import ConfigurationErrors, Path, similar

DataKind = Literal["line", "frame", "async", "stream", "exec"]
"""What the dataplane knows. The other kinds have an adapter between it and the program."""

DATA_KINDS: Mapping[Kind, DataKind] = {
    "line": "line",
    "frame": "frame",
    "async": "async",
    "stream": "stream",
    "exec": "exec",
    "lambda": "frame",
    "mcp": "async",
}

CYCLES_REPORTED_MAX = 10  # a tangle of flows has very many; after ten there is enough to do


@dataclass(frozen=True, slots=True)
class Launch:
    """How one worker of a pool is started; a change replaces the workers, not the pool."""

    flow: str
    argv: tuple[str, ...]  # argv[0] is absolute, or has no "/" and is looked for in PATH
    cwd: str
    env: tuple[tuple[str, str], ...]
    kind: Kind = "line"
    env_files: tuple[str, ...] = ()  # absolute
    secrets: tuple[str, ...] = ()
    image: str | None = None
    user: str | None = None
    memory_mib: int | None = None
    contain: Contain = field(default_factory=Contain)
    limits: ProcessLimits = field(default_factory=ProcessLimits)
    newline: Literal["refuse", "ncm"] = "refuse"
    ready: str | None = None
    start_ms: int = 0
    place: str = field(default="", compare=False)  # FILE:LINE of the function, for people


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How the dataplane treats a pool's messages; a change needs a new pool."""

    kind: DataKind
    inflight: int
    queue: int
    overflow: Overflow
    timeout_ms: int
    newline: Literal["refuse", "ncm"]
    retries: int


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    launch: Launch
    mailbox: Mailbox
    workers: int  # of kind exec: processes at a time
    restart: Literal["always", "on-failure", "never"]
    health: Health | None = None
    spare: int | None = None  # of kind exec; None: as many as the load needs


@dataclass(frozen=True, slots=True, order=True)
class Subscription:
    """The answers of `source` that contain `filter` become messages of `target`."""

    source: str
    target: str
    filter: bytes = b""
    mode: Literal["one", "all"] = "one"


@dataclass(frozen=True, slots=True)
class Wiring:
    """Pools and subscriptions; those that run, or those that shall."""

    pools: Mapping[str, Pool] = field(default_factory=dict)
    subscriptions: frozenset[Subscription] = frozenset()


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    subscription: Subscription


@dataclass(frozen=True, slots=True)
class RemovePool:
    pool: Pool


@dataclass(frozen=True, slots=True)
class UpdatePool:
    """Bring a running pool to `pool`; messages keep waiting in its mailbox meanwhile."""

    pool: Pool
    replace_workers: bool  # the launch differs; otherwise only their number or `restart` does


@dataclass(frozen=True, slots=True)
class CreatePool:
    pool: Pool


@dataclass(frozen=True, slots=True)
class Subscribe:
    subscription: Subscription


Action = Unsubscribe | RemovePool | UpdatePool | CreatePool | Subscribe


def wiring(flows: Sequence[LoadedFlow]) -> Wiring:
    """What shall exist for these flows together; raises ConfigurationErrors."""
    errors = [error for flow in flows for error in refusals(flow)]
    errors += _same_flow_names(flows)
    owners: dict[str, _Owner] = {}
    for flow in flows:
        errors += _claim_pools(flow, owners)
    pools = {name: _pool(owner) for name, owner in owners.items()}
    subscriptions: dict[Subscription, _Place] = {}
    for owner in owners.values():
        errors += _resolve_subscriptions(owner, owners, subscriptions)
    errors += _deadlocks(pools, subscriptions)
    if errors:
        raise ConfigurationErrors(errors)
    return Wiring(pools, frozenset(subscriptions))


def changes(runs: Wiring, shall: Wiring) -> tuple[Action, ...]:
    """The actions that bring `runs` to `shall`, in order.

    Subscriptions go first and come last, so that none ever names a pool that is not there.
    """
    gone = [pool for name, pool in runs.pools.items() if _must_go(pool, shall.pools.get(name))]
    gone_names = {pool.name for pool in gone}
    kept = {
        each
        for each in runs.subscriptions & shall.subscriptions
        if each.source not in gone_names and each.target not in gone_names
    }
    actions: list[Action] = []
    actions += [Unsubscribe(each) for each in sorted(runs.subscriptions - kept)]
    actions += [RemovePool(pool) for pool in gone]
    for name, pool in shall.pools.items():
        old = runs.pools.get(name)
        if old is None or name in gone_names:
            actions.append(CreatePool(pool))
        elif old != pool:
            actions.append(UpdatePool(pool, replace_workers=old.launch != pool.launch))
    actions += [Subscribe(each) for each in sorted(shall.subscriptions - kept)]
    return tuple(actions)


def _must_go(old: Pool, new: Pool | None) -> bool:
    return new is None or new.mailbox != old.mailbox


@dataclass(frozen=True, slots=True)
class _Owner:
    """The function that a pool's name belongs to."""

    flow: LoadedFlow
    path: Path
    function: Function


_Place = tuple[LoadedFlow, Path]


def _same_flow_names(flows: Sequence[LoadedFlow]) -> Iterator[ConfigurationError]:
    first: dict[str, LoadedFlow] = {}
    for flow in flows:
        other = first.setdefault(flow.name, flow)
        if other is not flow:
            message = f"there is a flow {flow.name!r} already ({other.source.place(('name',))})"
            yield flow.source.error(("name",), message, "another name")


def _claim_pools(flow: LoadedFlow, owners: dict[str, _Owner]) -> Iterator[ConfigurationError]:
    for index, function in enumerate(flow.spec.func):
        mine = _Owner(flow, ("func", index), function)
        other = owners.setdefault(function.name, mine)
        if other is not mine:
            place = other.flow.source.place((*other.path, "name"))
            message = f"the flow {other.flow.name!r} has a pool {function.name!r} already ({place})"
            yield flow.source.error((*mine.path, "name"), message, "another name")


def _pool(owner: _Owner) -> Pool:
    function = owner.function
    return Pool(
        name=function.name,
        launch=_launch(owner),
        mailbox=Mailbox(
            kind=DATA_KINDS[function.effective_kind],
            inflight=function.inflight,
            queue=function.queue,
            overflow=function.overflow,
            timeout_ms=function.timeout,
            newline=function.newline,
            retries=function.retries,
        ),
        workers=workers_run(function),
        restart=function.restart,
        health=function.health,
        spare=function.spare,
    )


def _launch(owner: _Owner) -> Launch:
    function, base = owner.function, PurePosixPath(owner.flow.directory)
    cwd = base / (function.cwd or "")  # an absolute one stays as it is
    argv = function.cmd
    if argv and "/" in argv[0] and not function.image:  # in an image the path is the image's
        argv = (str(cwd / argv[0]), *argv[1:])
    return Launch(
        flow=owner.flow.name,
        kind=function.effective_kind,
        argv=argv,
        cwd=str(cwd),
        env=tuple(sorted(function.env.items())),
        env_files=tuple(str(base / each) for each in function.env_file),
        secrets=tuple(sorted(function.secrets)),
        image=function.image,
        user=function.user,
        memory_mib=function.memory,
        contain=function.contain,
        limits=function.limits,
        newline=function.newline,
        ready=function.ready,
        start_ms=function.start,
        place=owner.flow.source.place(owner.path),
    )


def _resolve_subscriptions(
    owner: _Owner,
    owners: Mapping[str, _Owner],
    into: dict[Subscription, _Place],
) -> Iterator[ConfigurationError]:
    """Adds the function's subscriptions, each with its place."""
    for index, sub in enumerate(owner.function.sub):
        path = (*owner.path, "sub", index, "name")
        if sub.name not in owners:
            message = f"no flow has a pool {sub.name!r}{similar(sub.name, owners)}"
            yield owner.flow.source.error(path, message, "a pool of this or of a running flow")
            continue
        subscription = Subscription(sub.name, owner.function.name, sub.filter.encode(), sub.mode)
        into[subscription] = (owner.flow, path)


def _deadlocks(
    pools: Mapping[str, Pool], subscriptions: Mapping[Subscription, _Place]
) -> Iterator[ConfigurationError]:
    """The cycles in which every pool waits for the next one while that one's mailbox is full.

    One pool in a cycle that drops or refuses instead keeps all of it moving, so those are left
    out before cycles are looked for. Each cycle that is found is cut, until there is none.
    """
    waits = {name for name, pool in pools.items() if pool.mailbox.overflow in ("default", "block")}
    edges = {
        (each.source, each.target): place
        for each, place in subscriptions.items()
        if each.source in waits and each.target in waits
    }
    for _ in range(CYCLES_REPORTED_MAX):
        cycle = _cycle(edges)
        if not cycle:
            return
        hops = list(pairwise(cycle))
        flow, path = edges[hops[-1]]
        yield flow.source.error(
            path,
            "the subscriptions form a cycle in which every pool waits for the next: "
            + " -> ".join(cycle),
            "overflow: reject or drop-oldest for one of them, or no cycle",
        )
        for hop in hops:
            del edges[hop]


def _cycle(edges: Iterable[tuple[str, str]]) -> list[str]:
    """The names along one cycle, the first one twice; empty if there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for source, target in edges:
        sorter.add(target, source)
    try:
        sorter.prepare()
    except CycleError as error:
        names = error.args[1][:-1]
        start = names.index(min(names))
        return [*names[start:], *names[:start], names[start]]
    return []
