"""Gets an archive from a file or a URL, bounded, with the digest that it has to have.

`URL#sha256=HEX` says the digest. Over plain http it is required: anybody on the way could send
something else. A redirection from https to http is refused for the same reason.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from drop.clock import SystemClock
from drop.packages.faults import PackageError
from drop.packages.tarstream import ARCHIVE_BYTES_MAX

IDLE_SECONDS = 30.0  # a server that is silent for so long does not answer any more
TRANSFER_SECONDS_MAX = 3600.0  # one that gives a byte now and then does not go on for ever
CHUNK = 1 << 18

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def is_url(source: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source) is not None


def split_digest(source: str) -> tuple[str, str | None]:
    """A source without its `#sha256=HEX`, and the digest."""
    place, mark, fragment = source.partition("#")
    if not mark or not is_url(source):
        return source, None
    key, _, digest = fragment.partition("=")
    if key != "sha256":
        raise PackageError(f"{source}: found #{fragment}; expected #sha256= and 64 digits of hex")
    return place, checked_digest(digest)


def checked_digest(text: str) -> str:
    """Raises PackageError for what is no SHA-256."""
    if not _DIGEST.match(text.lower()):
        raise PackageError(f"found the digest {text[:80]!r}; expected 64 digits of hex (SHA-256)")
    return text.lower()


def fetch(source: str, into: BinaryIO, sha256: str | None = None) -> str:
    """The bytes of a file or URL into an open file, from whose start they can be read then.

    Returns the digest. Raises PackageError, also when the digest is not `sha256`, and OSError.
    """
    place, told = split_digest(source)
    wanted = told if sha256 is None else checked_digest(sha256)
    if told and told != wanted:
        raise PackageError(f"{source}: two digests are given, and they differ")
    with _open(place, wanted) as stream:
        digest = _copy(stream, into, place)
    if wanted is not None and digest != wanted:
        raise PackageError(
            f"{place} has the digest {digest}, and {wanted} was asked for: it is another package,"
            " or it was changed on the way"
        )
    into.seek(0)
    return digest


def _copy(stream: IO[bytes], into: BinaryIO, place: str) -> str:
    digest, size = hashlib.sha256(), 0
    clock = SystemClock()
    end = clock.now() + TRANSFER_SECONDS_MAX
    try:
        while data := stream.read(CHUNK):
            size += len(data)
            if size > ARCHIVE_BYTES_MAX:
                raise PackageError(f"{place} is too large; at most {ARCHIVE_BYTES_MAX} bytes")
            if clock.now() > end:
                raise PackageError(f"{place}: not there after an hour; given up", "unreachable")
            digest.update(data)
            into.write(data)
    except (HTTPException, TimeoutError, ConnectionError) as error:
        raise PackageError(f"{place}: the transfer broke off ({error!r})", "unreachable") from None
    return digest.hexdigest()


def _open(place: str, wanted: str | None) -> IO[bytes]:
    if not is_url(place):
        return _open_file(place, place)
    parts = urlsplit(place)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return _open_file(unquote(parts.path), place)
    if parts.scheme not in ("http", "https"):
        raise PackageError(f"{place}: expected a URL of https, http or file")
    if parts.username is not None:
        raise PackageError("the URL holds a user; expected one without, whose digest is given")
    if parts.scheme == "http" and wanted is None:
        raise PackageError(
            f"{place}: over http anybody on the way can change it; expected https, or the digest"
            " as #sha256=HEX or --sha256 HEX"
        )
    return _request(place)


def _open_file(path: str, place: str) -> IO[bytes]:
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise PackageError(f"{place} cannot be read: {error.strerror}", "not_found") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PackageError(f"{place} is not a file; expected an archive of `drop fun pack`")
    return open(descriptor, "rb")


def _request(place: str) -> IO[bytes]:
    opener = urllib.request.build_opener(_SaferRedirects)
    try:
        found: IO[bytes] = opener.open(place, timeout=IDLE_SECONDS)
        return found
    except urllib.error.HTTPError as error:
        error.close()
        text = f"{place}: the server answers {error.code} {error.reason}"
        raise PackageError(text, "unreachable") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise PackageError(f"{place} cannot be fetched: {reason}", "unreachable") from None


class _SaferRedirects(urllib.request.HTTPRedirectHandler):
    """Never from https to anything else, nor from http to a file of this machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and not (scheme == "http" and req.type == "http"):
            raise PackageError(f"{req.full_url} redirects to {newurl}, which is less safe; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def directory_of(source: str) -> Path | None:
    """The directory that a source is, if it is one: it has to be packed first."""
    path = Path(source)
    return path if not is_url(source) and path.is_dir() else None
