"""Control groups, on directories with the files that the kernel would make."""

from __future__ import annotations

from pathlib import Path

import pytest

from drop.images.groups import Groups


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    for name in ("memory", "pids", "cpu"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    return tmp_path


def test_v1(v1: Path) -> None:
    groups = Groups("me", v1)
    groups.open()
    assert groups.problem == ""
    groups.make("w", 64, 32)
    memory, pids = v1 / "memory/drop-images-me/w", v1 / "pids/drop-images-me/w"
    assert (memory / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert (pids / "pids.max").read_text() == "32"
    assert groups.entrances("w") == [str(memory / "cgroup.procs"), str(pids / "cgroup.procs")]
    assert groups.inner("w") == "/drop-images-me/w/inner"


def test_v1_without_a_limit_of_memory(v1: Path) -> None:
    groups = Groups("me", v1)
    groups.open()
    groups.make("w", None, 32)
    assert not (v1 / "memory/drop-images-me/w/memory.limit_in_bytes").exists()


def test_v1_counts_what_was_killed(v1: Path) -> None:
    groups = Groups("me", v1)
    groups.open()
    groups.make("w", 64, 32)
    memory = v1 / "memory/drop-images-me/w"
    assert not groups.exceeded_memory("w", entered=True)
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (memory / "memory.max_usage_in_bytes").write_text("500\n")
    assert groups.exceeded_memory("w", entered=True)
    assert not groups.exceeded_memory("w", entered=False)
    (memory / "memory.max_usage_in_bytes").write_text(f"{64 << 20}\n")
    assert groups.exceeded_memory("w", entered=False)


def test_v2(v2: Path) -> None:
    groups = Groups("me", v2)
    groups.open()
    groups.make("w", 64, 32)
    path = v2 / "drop-images-me/w"
    assert (path / "memory.max").read_text() == str(64 << 20)
    assert (path / "pids.max").read_text() == "32"
    assert (v2 / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert groups.entrances("w") == [str(path / "cgroup.procs")]
    (path / "memory.events").write_text("oom 1\noom_kill 2\n")
    assert groups.exceeded_memory("w", entered=False)


def test_a_machine_without_groups_says_so(tmp_path: Path) -> None:
    groups = Groups("me", tmp_path / "nowhere")
    groups.open()
    assert "No such file" in groups.problem
    groups.sweep()
    groups.close()


def test_removing_takes_the_runtimes_own_groups_in_every_hierarchy(v1: Path) -> None:
    groups = Groups("me", v1)
    groups.open()
    for name in ("memory", "cpu"):
        (v1 / name / "drop-images-me/w/inner").mkdir(parents=True)
    assert groups.remove("w")
    assert not list(v1.glob("*/drop-images-me/w"))
    assert groups.remove("w")


def test_a_group_that_is_still_in_use_stays(v1: Path) -> None:
    groups = Groups("me", v1)
    groups.open()
    groups.make("w", 64, 32)  # its files make rmdir fail, as processes do
    assert not groups.remove("w")
