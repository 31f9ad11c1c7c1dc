"""Archives from files and URLs, against a real server in this process."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from drop.packages import fetch as fetch_module
from drop.packages.faults import PackageError
from drop.packages.fetch import checked_digest, directory_of, fetch, split_digest

DATA = b"an archive" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """What happens is in the path."""

    def do_GET(self) -> None:
        if self.path == "/absent":
            self.send_error(404)
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(source: str, sha256: str | None = None) -> bytes:
    into = io.BytesIO()
    digest = fetch(source, into, sha256)
    data = into.read()
    assert digest == hashlib.sha256(data).hexdigest()
    return data


def refused(source: str, sha256: str | None = None) -> str:
    with pytest.raises(PackageError) as error:
        fetch(source, io.BytesIO(), sha256)
    return str(error.value)


def test_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x # 1.dropfn"
    file.write_bytes(DATA)
    assert fetched(str(file)) == DATA
    assert fetched(str(file), DIGEST.upper()) == DATA
    quoted = str(file).replace(" ", "%20").replace("#", "%23")
    assert fetched(f"file://{quoted}") == DATA
    assert fetched(f"file://localhost{quoted}#sha256={DIGEST}") == DATA
    assert "it is another package" in refused(str(file), "0" * 64)
    assert "cannot be read: No such file" in refused(str(tmp_path / "absent"))
    assert "is not a file" in refused(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(str(tmp_path / "pipe"))


def test_over_http(url: str) -> None:
    assert fetched(f"{url}/x#sha256={DIGEST}") == DATA
    assert fetched(f"{url}/x", DIGEST) == DATA
    assert fetched(f"{url}/to//x", DIGEST) == DATA
    assert "the digest" in refused(f"{url}/x", "0" * 64)
    assert "expected https, or the digest" in refused(f"{url}/x")
    assert "answers 404" in refused(f"{url}/absent", DIGEST)
    assert "they differ" in refused(f"{url}/x#sha256={DIGEST}", "0" * 64)


def test_a_redirection_to_somewhere_less_safe(url: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(DATA)
    for target in (f"file://{file}", "ftp://127.0.0.1/x", "data:,x"):
        text = refused(f"{url}/to/{target}", DIGEST)
        assert "less safe; refused" in text or "is not allowed" in text


def test_nobody_there() -> None:
    assert "cannot be fetched: [Errno 111] Connection refused" in refused(
        "http://127.0.0.1:1/x", DIGEST
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("ftp://host/x", "expected a URL of https, http or file"),
        ("https://user:secret@host/x", "the URL holds a user"),
        ("https://host/x#sha256=abc", "expected 64 digits"),
        ("https://host/x#md5=abc", "expected #sha256="),
        ("file://elsewhere/x", "expected a URL of"),
        ("https://", "cannot be fetched"),
    ],
)
def test_urls_that_are_refused(source: str, says: str) -> None:
    text = refused(source)
    assert says in text
    assert "secret" not in text


def test_too_large(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "ARCHIVE_BYTES_MAX", len(DATA) - 1)
    assert "is too large" in refused(f"{url}/x", DIGEST)
    (tmp_path / "x").write_bytes(DATA)
    assert "is too large" in refused(str(tmp_path / "x"))


def test_parts(tmp_path: Path) -> None:
    assert split_digest("./a#sha256=x") == ("./a#sha256=x", None)
    assert split_digest(f"https://h/x#sha256={DIGEST}") == ("https://h/x", DIGEST)
    assert checked_digest("A" * 64) == "a" * 64
    assert directory_of(str(tmp_path)) == tmp_path
    assert directory_of("https://host") is None
    assert directory_of(str(tmp_path / "absent")) is None
