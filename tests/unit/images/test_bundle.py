"""Bundles as files: what an image may not make us read, what is kept, what is removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.images.bundle import (
    UNUSED_MAX,
    Bundles,
    is_directory_inside,
    read_inside,
    remove_devices,
    remove_tree,
)
from drop.images.commands import Commands


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("not of the image")
    root = tmp_path / "rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "home" / "drop").mkdir(parents=True)
    (root / "etc" / "passwd").write_text("of the image")
    return root


def test_a_file_of_the_image(root: Path) -> None:
    assert read_inside(root, "etc/passwd") == "of the image"
    assert read_inside(root, "etc/group") == ""
    assert read_inside(root, "etc") == ""


def test_links_are_not_followed_out_of_it(root: Path) -> None:
    (root / "etc" / "group").symlink_to(root.parent / "outside")
    assert read_inside(root, "etc/group") == ""
    (root / "linked").symlink_to(root.parent)
    assert read_inside(root, "linked/outside") == ""


def test_a_pipe_does_not_make_us_wait(root: Path) -> None:
    os.mkfifo(root / "etc" / "group")
    assert read_inside(root, "etc/group") == ""


def test_whether_there_is_a_home(root: Path) -> None:
    assert is_directory_inside(root, "home/drop")
    assert not is_directory_inside(root, "home/other")
    assert not is_directory_inside(root, "etc/passwd")
    (root / "home" / "link").symlink_to("/")
    assert not is_directory_inside(root, "home/link")


@pytest.mark.skipif(os.geteuid() != 0, reason="device files are made by root only")
def test_device_files_are_removed_wherever_they_are(root: Path) -> None:
    for name in ("disk", "home/drop/zero"):
        os.mknod(root / name, 0o666 | 0o020000, os.makedev(1, 5))
    os.mknod(root / "block", 0o666 | 0o060000, os.makedev(254, 0))
    (root / "link").symlink_to("/dev/null")
    remove_devices(root)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert found == {"etc", "etc/passwd", "home", "home/drop", "link"}


def test_a_tree_that_must_not_be_written_to_is_removed(root: Path) -> None:
    (root / "etc").chmod(0o500)
    remove_tree(root)
    assert not root.exists()
    remove_tree(root)


def test_the_latest_unused_bundles_and_all_used_ones_are_kept(tmp_path: Path) -> None:
    commands = Commands()
    bundles = Bundles(tmp_path / "bundles", commands)
    bundles.open_now()
    names = [f"{number:064x}" for number in range(UNUSED_MAX + 3)]
    for number, name in enumerate(names):
        path = bundles.path(name, whole=number % 2 == 0)
        path.mkdir()
        os.utime(path, (number, number))
    bundles.collect_now({names[0]})
    left = {path.name.removesuffix("-facts") for path in (tmp_path / "bundles").iterdir()}
    assert left == {names[0], *names[-UNUSED_MAX:]}
    commands.close()


def test_what_a_killed_node_left_half_done_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "bundles"
    for name in (".new-ab", ".old-cd", "ef"):
        (directory / name / "rootfs").mkdir(parents=True)
    commands = Commands()
    Bundles(directory, commands).open_now()
    commands.close()
    assert [path.name for path in directory.iterdir()] == ["ef"]
