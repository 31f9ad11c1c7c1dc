"""What is started, stopped and reloaded; the runner only keeps a record of what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from drop.errors import ConfigurationError
from drop.flow.flows import FlowError, Flows
from drop.flow.plan import Wiring
from drop.flow.runner import Runner
from drop.flow.store import FlowStore


class RecordingRunner(Runner):
    """Takes every wiring for done."""

    def __init__(self) -> None:
        self.shall = Wiring()
        self.refuse = False

    async def apply(self, shall: Wiring, grace_seconds: float) -> None:
        if self.refuse:
            raise ValueError("too many pools")
        self.shall = shall


class World:
    def __init__(self, directory: Path, *given: str) -> None:
        self.directory = directory
        (directory / "flows").mkdir(exist_ok=True)
        self.runner = RecordingRunner()
        self.reported: list[str] = []
        self.flows = Flows(
            self.runner,
            FlowStore(str(directory / "flows")),
            [str(directory / name) for name in given],
            grace_seconds=10.0,
            resolve=lambda flow: flow,
            report=lambda fault: self.reported.append(str(fault)),
        )

    def again(self, *given: str) -> World:
        """As after a restart of the node."""
        return World(self.directory, *given)

    def write(self, file: str, flow: str, pool: str = "", extra: str = "") -> str:
        path = self.directory / file
        text = f"name: {flow}\nfunc:\n  - name: {pool or flow}\n    cmd: cat\n{extra}"
        path.write_text(text)
        return str(path)

    @property
    def pools(self) -> list[str]:
        return sorted(self.runner.shall.pools)

    @property
    def states(self) -> dict[str, str]:
        return {entry.name: entry.activity for entry in self.flows.entries.values()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, "given.yaml")


async def test_given_flows_run_and_are_not_kept(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    assert world.pools == ["given"]
    assert list((world.directory / "flows").iterdir()) == []


async def test_a_bad_given_flow_keeps_the_node_from_starting(world: World) -> None:
    world.write("given.yaml", "given", extra="    kindd: line\n")
    with pytest.raises(ConfigurationError, match="kindd"):
        await world.flows.open()
    assert world.pools == []


async def test_what_is_started_comes_back_after_a_restart(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    await world.flows.start(world.write("one.yaml", "one"))
    assert world.pools == ["given", "one"]
    later = world.again()
    await later.flows.open()
    assert later.pools == ["one"]
    assert later.runner.shall.pools["one"].launch.cwd == str(world.directory)


async def test_what_is_stopped_stays_known_and_stopped(world: World) -> None:
    flows = world.again()
    await flows.flows.open()
    await flows.flows.start(world.write("one.yaml", "one"))
    await flows.flows.stop("one")
    later = world.again()
    await later.flows.open()
    assert (later.pools, later.states) == ([], {"one": "stopped"})
    await later.flows.start_known("one")
    assert (later.pools, later.states) == (["one"], {"one": "running"})
    last = world.again()
    await last.flows.open()
    assert last.pools == ["one"]


async def test_a_bad_stored_flow_does_not_keep_the_others_from_starting(world: World) -> None:
    for name in ("a", "b", "c"):
        world.write(f"flows/{name}.yaml", name)
    world.write("flows/bad.yaml", "bad", extra="    num: none\n")
    world.write("flows/same.yaml", "same", pool="a")
    world.write("given.yaml", "given")
    await world.flows.open()
    assert world.pools == ["a", "b", "c", "given"]
    assert any("num" in text for text in world.reported)
    assert any("has a pool 'a' already" in text for text in world.reported)


async def test_names_are_unique(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    for file in ("given.yaml", "other.yaml"):
        world.write("other.yaml", "given", pool="other")
        with pytest.raises(FlowError, match="there is a flow 'given' already") as told:
            await world.flows.start(str(world.directory / file))
        assert told.value.kind == "conflict"


async def test_a_given_flow_is_started_again_from_its_file_only(world: World) -> None:
    file = world.write("given.yaml", "given")
    other = world.write("other.yaml", "given")
    await world.flows.open()
    await world.flows.stop("given")
    with pytest.raises(FlowError):
        await world.flows.start(other)
    world.write("given.yaml", "given", pool="changed")
    await world.flows.start(file)
    assert world.pools == ["changed"]
    assert list((world.directory / "flows").iterdir()) == []


async def test_a_stopped_stored_flow_may_be_replaced(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    await world.flows.start(world.write("one.yaml", "one"))
    await world.flows.stop("one")
    await world.flows.start(world.write("two.yaml", "one", pool="new"))
    assert world.pools == ["given", "new"]


@pytest.mark.parametrize("operation", ["stop", "start_known"])
async def test_an_unknown_name(world: World, operation: str) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    with pytest.raises(FlowError, match="there are: given") as told:
        await getattr(world.flows, operation)("none")
    assert told.value.kind == "not_found"


async def test_doing_it_twice(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    with pytest.raises(FlowError, match="runs already"):
        await world.flows.start_known("given")
    await world.flows.stop("given")
    with pytest.raises(FlowError, match="stopped already"):
        await world.flows.stop("given")


async def test_a_flow_that_others_need_is_not_stopped(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    await world.flows.start(world.write("one.yaml", "one", extra="    sub:\n      - name: given\n"))
    with pytest.raises(FlowError, match="no flow has a pool 'given'"):
        await world.flows.stop("given")
    assert world.pools == ["given", "one"]
    assert world.states["given"] == "running"


async def test_a_reload_takes_changes_new_files_and_removals(world: World) -> None:
    world.write("given.yaml", "given")
    world.write("flows/a.yaml", "a")
    world.write("flows/b.yaml", "b")
    await world.flows.open()
    world.write("given.yaml", "given", pool="changed")
    world.write("flows/c.yaml", "c")
    (world.directory / "flows" / "a.yaml").unlink()
    await world.flows.reload()
    assert world.pools == ["b", "c", "changed"]


async def test_a_reload_with_any_fault_changes_nothing_and_tells_all(world: World) -> None:
    world.write("given.yaml", "given")
    world.write("flows/a.yaml", "a")
    world.write("flows/b.yaml", "b")
    await world.flows.open()
    before = world.flows.entries
    world.write("given.yaml", "given", extra="    num: 0\n")
    world.write("flows/a.yaml", "a", extra="    colour: red\n")
    world.write("flows/b.yaml", "b", pool="changed")
    with pytest.raises(FlowError) as told:
        await world.flows.reload()
    assert "num" in str(told.value)
    assert "colour" in str(told.value)
    assert world.pools == ["a", "b", "given"]
    assert world.flows.entries is before


async def test_two_files_with_one_name_are_a_fault(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    world.write("flows/other.yaml", "given", pool="other")
    with pytest.raises(FlowError, match="there is a flow 'given' already"):
        await world.flows.reload()


async def test_a_reload_leaves_alone_what_a_person_has_stopped(world: World) -> None:
    world.write("given.yaml", "given")
    world.write("flows/a.yaml", "a")
    await world.flows.open()
    await world.flows.stop("given")
    await world.flows.stop("a")
    await world.flows.reload()
    assert world.pools == []
    assert world.states == {"given": "stopped", "a": "stopped"}


async def test_what_the_dataplane_refuses_is_not_kept(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    world.runner.refuse = True
    with pytest.raises(FlowError, match="too many pools"):
        await world.flows.start(world.write("one.yaml", "one"))
    assert world.states == {"given": "running"}
    assert list((world.directory / "flows").iterdir()) == []


async def test_warnings_are_told_once_for_each_reading_that_changes_them(world: World) -> None:
    world.write("given.yaml", "given", extra="    idle: 5\n")
    await world.flows.open()
    assert len(world.reported) == 1
    await world.flows.reload()
    assert len(world.reported) == 1
    world.write("given.yaml", "given", extra="    idle: 6\n")
    await world.flows.reload()
    assert len(world.reported) == 2


async def test_closing_stops_all(world: World) -> None:
    world.write("given.yaml", "given")
    await world.flows.open()
    await world.flows.close(1.0)
    assert world.pools == []


async def test_a_full_disk_costs_the_restart_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.write("given.yaml", "given")
    await world.flows.open()
    monkeypatch.setattr(FlowStore, "save", full)
    await world.flows.start(world.write("one.yaml", "one"))
    assert world.pools == ["given", "one"]
    assert "No space left" in world.reported[0]
    assert "lost at the next restart" in world.reported[0]
