"""What the mounts of a machine mean for crun, and which programs are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.images.commands import Commands
from drop.images.engine import engine_environment, find_engine, program
from drop.images.faults import ImageError
from drop.images.runtime import hybrid_mount

V1 = """tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
"""


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ("", None),
        (V1, None),
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", None),
        (V1 + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "/sys/fs/cgroup/unified"),
        (V1 + "tmpfs /sys/fs/cgroup/unified tmpfs rw 0 0\n", None),
        (V1 + "cgroup2 /mnt/unified cgroup2 rw 0 0\n", None),
    ],
)
def test_the_tree_of_v2_beside_v1(mounts: str, found: str | None) -> None:
    assert hybrid_mount(mounts) == found


def test_what_an_engine_gets_of_the_environment() -> None:
    environ = {"PATH": "/x", "DOCKER_HOST": "a", "XDG_RUNTIME_DIR": "b", "TOKEN": "secret"}
    assert engine_environment(environ) == {
        "PATH": "/x",
        "DOCKER_HOST": "a",
        "XDG_RUNTIME_DIR": "b",
    }
    assert engine_environment({})["PATH"]


def script(directory: Path, name: str, text: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine on which nothing is installed but what a test puts into tmp_path."""
    monkeypatch.setattr("drop.images.engine.SYSTEM_PATH", str(tmp_path))
    return {"PATH": str(tmp_path)}


async def test_neither_engine_is_installed(bare: dict[str, str]) -> None:
    commands = Commands()
    with pytest.raises(ImageError, match=r"neither is installed: apt-get install podman"):
        await find_engine("auto", commands, bare)
    with pytest.raises(ImageError, match="docker is not installed"):
        await find_engine("docker", commands, bare)
    commands.close()


async def test_a_daemon_that_does_not_run_is_said(bare: dict[str, str], tmp_path: Path) -> None:
    script(tmp_path, "docker", "echo 'Cannot connect to the daemon' >&2; exit 1")
    commands = Commands()
    with pytest.raises(ImageError, match="docker: Cannot connect to the daemon"):
        await find_engine("auto", commands, bare)
    commands.close()


async def test_docker_is_taken_where_podman_does_not_work(
    bare: dict[str, str], tmp_path: Path
) -> None:
    script(tmp_path, "podman", "exit 125")
    script(tmp_path, "docker", "echo 28.2.2")
    commands = Commands()
    found = await find_engine("auto", commands, bare)
    commands.close()
    assert (found.kind, found.version) == ("docker", "28.2.2")


async def test_podman_gets_the_simple_store_where_the_usual_one_fails(
    bare: dict[str, str], tmp_path: Path
) -> None:
    script(tmp_path, "podman", 'test "$1 $2" = "--storage-driver vfs" && echo 4.3.1')
    commands = Commands()
    found = await find_engine("auto", commands, bare)
    commands.close()
    assert found.argv == (str(tmp_path / "podman"), "--storage-driver", "vfs")


def test_programs_of_administrators_are_found_without_their_path(tmp_path: Path) -> None:
    assert program("sh", {}) is not None
    assert program("no-such-program", os.environ) is None
    script(tmp_path, "mine", "true")
    assert program("mine", {"PATH": str(tmp_path)}) == str(tmp_path / "mine")
