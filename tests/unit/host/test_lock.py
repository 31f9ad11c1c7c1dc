"""One node per directory, until it ends in whatever way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drop.errors import ConfigurationError
from drop.host.lock import DirectoryLock


def test_a_second_node_is_told_who_has_it(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    with pytest.raises(ConfigurationError) as told:
        second.acquire()
    assert f"process {os.getpid()}" in str(told.value)
    assert "--var-dir" in str(told.value)
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    text = (
        "import os, sys; from pathlib import Path; from drop.host.lock import DirectoryLock;"
        "DirectoryLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", text, str(tmp_path)], check=False)
    assert ended.returncode == -9
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as told:
        DirectoryLock(tmp_path / "missing").acquire()
    assert "cannot be locked" in str(told.value)
