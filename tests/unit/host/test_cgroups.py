"""Control groups, made for real in version 1 where this machine has it; version 2 on copies.

A copy is a directory with the files that the kernel would have: what is written can be looked at,
and nothing more.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from as_nobody import as_nobody, needs_root
from drop.host import cgroups
from drop.host.cgroup_tree import Limits, Place
from drop.host.cgroups import NodeGroups, own_places, remove_tree, survey

pytestmark = needs_root


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[NodeGroups]:
    made = NodeGroups.open("test node", str(tmp_path))
    if "pids" in made.problems or "memory" in made.problems:
        pytest.skip(f"control groups: {made.problems}")
    yield made
    made.close()


def read(*parts: str) -> str:
    return Path(*parts).read_text().strip()


def version_1(groups: NodeGroups) -> bool:
    return all(version == 1 for version in groups._versions.values())


def test_limits_of_a_slot(groups: NodeGroups) -> None:
    pool = groups.pool("a/b", 2, Limits(memory_mib=64, processes=20))
    pids, memory = pool.directories if version_1(groups) else (pool.directories * 2)
    assert not os.path.exists(f"{pids}/1")
    pool.prepare(1)
    pool.prepare(1)
    assert read(pids, "1", "pids.max") == "20"
    limit = "memory.limit_in_bytes" if version_1(groups) else "memory.max"
    assert read(memory, "1", limit) == str(64 << 20)
    pool.remove()
    assert not os.path.exists(pids)


def test_other_limits_hold_at_once(groups: NodeGroups) -> None:
    pool = groups.pool("p", 1, Limits(memory_mib=64, processes=20))
    pool.prepare(0)
    for mib in (128, 32):
        pool.update(3, Limits(memory_mib=mib, processes=9))
        assert read(pool.directories[0], "0", "pids.max") == "9"
        limit = "memory.limit_in_bytes" if version_1(groups) else "memory.max"
        assert read(pool.directories[-1], "0", limit) == str(mib << 20)
    assert pool.slots == 3


def test_limits_that_are_not_asked_for_cost_nothing(groups: NodeGroups) -> None:
    assert groups.pool("p", 1, Limits()).directories == ()


def test_weights_add_up(groups: NodeGroups) -> None:
    if not version_1(groups):
        pytest.skip("cpu.shares is of version 1")
    one = groups.pool("one", 2, Limits(cpu=50))
    two = groups.pool("two", 1, Limits(cpu=300))
    one.prepare(0)
    assert read(one.directories[0], "0", "cpu.shares") == "512"
    assert read(one.directories[0], "cpu.shares") == "1024"
    node = os.path.dirname(one.directories[0])
    assert read(node, "cpu.shares") == "4096"
    two.remove()
    assert read(node, "cpu.shares") == "1024"


def join(group: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["sleep", "60"])
    Path(group, "cgroup.procs").write_text(str(process.pid))
    return process


def test_what_a_killed_node_left_behind(groups: NodeGroups, tmp_path: Path) -> None:
    pool = groups.pool("p", 1, Limits(processes=20))
    pool.prepare(0)
    process = join(f"{pool.directories[0]}/0")
    again = NodeGroups.open("test node", str(tmp_path))
    assert process.wait(30) == -signal.SIGKILL
    assert not os.path.exists(pool.directories[0])
    assert again.controllers == groups.controllers


def test_another_nodes_groups_are_left_alone(groups: NodeGroups, tmp_path: Path) -> None:
    pool = groups.pool("p", 1, Limits(processes=20))
    pool.prepare(0)
    other = NodeGroups.open("test node", str(tmp_path / "other"))
    other.close()
    assert os.path.exists(f"{pool.directories[0]}/0")


def test_close_kills_and_removes_everything(groups: NodeGroups) -> None:
    pool = groups.pool("p", 1, Limits(memory_mib=64, processes=20))
    pool.prepare(0)
    process = join(f"{pool.directories[0]}/0")
    groups.close()
    assert process.wait(30) == -signal.SIGKILL
    assert not any(os.path.exists(os.path.dirname(each)) for each in pool.directories)


def test_plain_user_is_told_why() -> None:
    problems = as_nobody(lambda: NodeGroups.open("n", "/nowhere").problems)
    assert set(problems) == set(cgroups.CONTROLLERS)
    assert all("run it as root" in text for text in problems.values())
    assert as_nobody(survey) == problems


def test_survey_finds_what_a_node_finds(groups: NodeGroups) -> None:
    assert survey() == groups.problems


def test_machine_without_control_groups(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("")
    (tmp_path / "mountinfo").write_text("")
    groups = NodeGroups.open("n", "/nowhere", process=str(tmp_path))
    assert set(groups.problems.values()) == {cgroups.NO_CONTROLLER}
    assert groups.pool("p", 1, Limits(64, 20, 50)).directories == ()
    assert own_places(str(tmp_path / "none")) == ()


# --- version 2, on copies ---


class Copy:
    """A node's own group of version 2, made of ordinary files."""

    def __init__(
        self, directory: Path, *, procs: str, controllers: str = "cpu memory pids"
    ) -> None:
        self.own = directory / "own"
        self.own.mkdir()
        self.write("cgroup.controllers", controllers)
        self.write("cgroup.subtree_control", "")
        self.write("cgroup.procs", procs)
        self.write("cgroup.type", "domain")

    def write(self, file: str, text: str) -> None:
        (self.own / file).write_text(text)

    def groups(self) -> NodeGroups:
        groups = NodeGroups("drop-n", [Place(2, frozenset(), str(self.own))])
        node = self.own / "drop-n"
        node.mkdir()
        (node / "cgroup.procs").write_text("")  # the kernel makes it with the directory
        for controller in cgroups.CONTROLLERS:
            groups._open(controller)
        return groups


def test_version_2_moves_the_node_and_hands_controllers_on(tmp_path: Path) -> None:
    copy = Copy(tmp_path, procs=f"{os.getpid()}\n")
    groups = copy.groups()
    assert groups.problems == {}
    assert read(str(copy.own), cgroups.NODE_LEAF, "cgroup.procs") == str(os.getpid())
    assert read(str(copy.own), cgroups.NODE_LEAF, "cpu.weight") == "1000"
    assert read(str(copy.own), "cgroup.subtree_control") == "+cpu"  # the last of three writes
    pool = groups.pool("p", 2, Limits(64, 20, 50))
    assert pool.directories == (str(copy.own / "drop-n" / "pool-p"),)  # one for all controllers
    pool.prepare(0)
    slot = copy.own / "drop-n" / "pool-p" / "0"
    assert {file.name: file.read_text() for file in slot.iterdir()} == {
        "pids.max": "20",
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.weight": "50",
    }
    assert read(str(slot.parent), "cpu.weight") == "100"


def test_version_2_without_a_controller(tmp_path: Path) -> None:
    problems = Copy(tmp_path, procs="", controllers="pids").groups().problems
    assert set(problems) == {"memory", "cpu"}
    assert "has no memory controller; let a service manager" in problems["memory"]


def test_version_2_with_others_in_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Copy(tmp_path, procs=f"{os.getpid()}\n1\n")
    place = Place(2, frozenset(), str(copy.own))
    monkeypatch.setattr(cgroups, "own_places", lambda process: (place,))
    assert all("other processes are in the node's own group" in t for t in survey().values())
    copy.write("cgroup.procs", f"{os.getpid()}\n")
    assert survey() == {}


def test_remove_tree_of_nothing(tmp_path: Path) -> None:
    assert remove_tree(str(tmp_path / "none"))
