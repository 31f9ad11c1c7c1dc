"""A run as JSON: rows, every single sample, and what it was measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(
    path: Path,
    command: str,
    machine: dict[str, object],
    rows: list[dict[str, object]],
    samples: object,
) -> None:
    document = {
        "command": command,
        "machine": machine,
        "rows": rows,
        "samples": samples,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text(document) + "\n")


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _text(document: dict[str, object]) -> str:
    """A line for each row and sample, so that a difference between two records can be read."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            lines = ",\n  ".join(json.dumps(each) for each in value)
            parts.append(f'"{key}": [\n  {lines}\n ]')
        elif key == "samples" and isinstance(value, dict):
            lines = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f'"{key}": {{\n  {lines}\n }}')
        else:
            parts.append(f'"{key}": {json.dumps(value)}')
    return "{\n " + ",\n ".join(parts) + "\n}"
