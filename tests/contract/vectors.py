"""The test vectors of docs/protocol.md section 7, as the page has them."""

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"


class Vector(NamedTuple):
    name: str
    sender: str  # client or node
    verdict: str  # ok, goaway STATUS, answer STATUS, close
    first: bool  # it is the first frame of its connection
    text: str
    data: bytes


def read_vectors() -> list[Vector]:
    """Raises ValueError when the page is not as it says."""
    block = PAGE.read_text(encoding="utf-8").split("```vectors\n")[1].split("```")[0]
    return [vector_from(lines) for lines in block.strip().split("\n\n")]


def vector_from(lines: str) -> Vector:
    head, text, data = lines.split("\n")
    name, sender, *verdict = head.split()
    first = verdict[-1] == "first"
    words = verdict[:-1] if first else verdict
    return Vector(name, sender, " ".join(words), first, text.strip(), bytes.fromhex(data))


VECTORS = read_vectors()
