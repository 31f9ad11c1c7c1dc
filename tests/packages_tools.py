"""Makes packages for tests: good ones from directories, and archives with every trick in them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drop.packages.archive import write_archive
from drop.packages.manifest import load_manifest
from drop.packages.tree import package_of

FUNCTION = "name: hello\nversion: {version}\ncmd: cat\n"


def make_directory(directory: Path, files: Mapping[str, bytes | str], *, yaml: str = "") -> Path:
    """A function's directory. A text is a link to there; `yaml` is all of function.yaml."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "function.yaml").write_text(yaml or FUNCTION.format(version="1.0.0"))
    for path, content in files.items():
        place = directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            place.symlink_to(content)
        else:
            place.write_bytes(content)
    return directory


def pack(directory: Path) -> bytes:
    """The archive of a function's directory."""
    into = io.BytesIO()
    write_archive(package_of(load_manifest(directory), directory), directory, into)
    return into.getvalue()


def file_entry(path: str, data: bytes = b"", mode: str = "0644") -> dict[str, Any]:
    """What a manifest says of a file."""
    digest = hashlib.sha256(data).hexdigest()
    return {"path": path, "size": len(data), "mode": mode, "sha256": digest}


def record(content: Sequence[Mapping[str, Any]], /, **more: Any) -> bytes:
    """A manifest with any content, written as ours are."""
    values = {"format": 1, "name": "hello", "version": "1.0.0", "kind": "line", "cmd": ["cat"]}
    document = {**values, "content": list(content), **more}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def member(name: str, data: bytes = b"", **header: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar with any header."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in header.items():
        setattr(info, key, value)
    return info, data


def archive(
    content: Sequence[Mapping[str, Any]],
    members: Sequence[tuple[tarfile.TarInfo, bytes]],
    **more: Any,
) -> bytes:
    """An archive whose manifest and whose members may say different things."""
    return compressed(plain_tar([member("manifest.json", record(content, **more)), *members]))


def plain_tar(members: Sequence[tuple[tarfile.TarInfo, bytes]], format: int = 2) -> bytes:
    """`format`: 0 ustar, 1 GNU, 2 pax."""
    into = io.BytesIO()
    with tarfile.open(mode="w", fileobj=into, format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if data else None)
    return into.getvalue()


def compressed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
