"""The programs in docs/client.md run as they are printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from drop.testing.server import PeerThread

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "client.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
OUTPUT = [
    ["b'hello'"],
    ["b'hello'", "1000", "[b'a', b'b']", "b'tag:1'"],
    ["b'one\\n'", "b'two\\n'", "b'three'", "b'one\\n'"],
]


@pytest.mark.parametrize(
    ("program", "output"),
    list(zip(PROGRAMS, OUTPUT, strict=True)),
    ids=["blocking", "asyncio", "parts"],
)
def test_program(program: str, output: list[str]) -> None:
    with PeerThread() as thread:
        assert "127.0.0.1:8085" in program
        code = program.replace("127.0.0.1:8085", thread.peer.address)
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (run.stdout.splitlines(), run.stderr) == (output, "")
