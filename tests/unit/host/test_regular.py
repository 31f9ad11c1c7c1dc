"""Only files are read, and what is none neither hangs nor leaves a descriptor open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from drop.host import iface_variable
from drop.host.regular import read_regular
from drop.private import PrivateFault, read_private


def test_a_file_is_read_up_to_the_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_regular(str(tmp_path / "file"), 4) == b"0123"
    assert read_regular(str(tmp_path / "file"), 100) == b"0123456789"


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(str(tmp_path / "file"), 4)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "there"
    make(path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(str(path), 4)
    with pytest.raises(PrivateFault, match="is not a file"):
        read_private(str(path), 4, "a key")
    assert "not a regular file" in str(iface_variable.find({}, str(path), "/").warnings[0])
    assert len(os.listdir("/proc/self/fd")) == before
