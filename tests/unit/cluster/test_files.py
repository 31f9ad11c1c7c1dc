"""Edited files are noticed, however they were edited."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.cluster.files import WatchedFiles


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("10.0.0.1\n")
    return path


def test_nothing_has_changed(path: Path) -> None:
    assert WatchedFiles([str(path)]).changed() == set()


def test_a_file_is_made(tmp_path: Path) -> None:
    watched = WatchedFiles([str(tmp_path / "new"), str(tmp_path / "other")])
    (tmp_path / "new").touch()
    assert watched.changed() == {str(tmp_path / "new")}
    assert watched.changed() == set()


def test_a_file_is_removed(path: Path) -> None:
    watched = WatchedFiles([str(path)])
    path.unlink()
    assert watched.changed() == {str(path)}


def test_a_file_is_replaced_by_one_of_the_same_size_and_time(path: Path) -> None:
    watched = WatchedFiles([str(path)])
    status = path.stat()
    other = path.with_name("other")
    other.write_text("10.0.0.2\n")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert watched.changed() == {str(path)}


def test_a_file_grows(path: Path) -> None:
    watched = WatchedFiles([str(path)])
    with path.open("a") as file:
        file.write("10.0.0.2\n")
    assert watched.changed() == {str(path)}


def test_a_directory_on_the_way_that_is_a_file(path: Path) -> None:
    assert WatchedFiles([str(path / "below")]).changed() == set()


def test_a_file_may_be_read_now(path: Path) -> None:
    path.chmod(0o644)
    watched = WatchedFiles([str(path)])
    path.chmod(0o600)
    assert watched.changed() == {str(path)}
