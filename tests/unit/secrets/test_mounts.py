"""Which file system a path is on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.secrets.mounts import file_system, on_memory

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /run rw,nosuid shared:2 - tmpfs tmpfs rw,size=1g
24 23 0:21 / /run/user/1000 rw - tmpfs tmpfs rw
25 22 0:22 / /mnt/with\040space rw - xfs /dev/sdb rw
26 22 0:23 / /over rw - tmpfs tmpfs rw
27 26 8:2 / /over rw - btrfs /dev/sdc rw
torn
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib/drop", "ext4"),
        ("/run", "tmpfs"),
        ("/run/drop", "tmpfs"),
        ("/running", "ext4"),
        ("/run/user/1000/x", "tmpfs"),
        ("/mnt/with space/x", "xfs"),
        ("/over/x", "btrfs"),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    assert file_system(path, TABLE) == kind


def test_nothing_is_known_from_nothing() -> None:
    assert file_system("/x", "") == ""


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs /dev/shm")
def test_the_mounts_of_this_machine() -> None:
    assert on_memory("/dev/shm")
    assert not on_memory("/proc")


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    assert not on_memory(str(tmp_path / "link"))
