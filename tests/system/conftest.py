"""What tests of a running node share as fixtures; see also node_tools.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_tools import processes


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[str]:
    """An argument that only processes of this test have; none may be left at its end."""
    mark = f"mark-{os.getpid()}-{tmp_path.name}"
    yield mark
    assert processes(mark) == []
