"""A gzipped tar as `archive` writes it, read by somebody who trusts nothing in it.

Much less than tar: regular files, symbolic links, and extended headers for long names. No other
type of member, no second gzip member, nothing behind the end. Never more than a chunk is
decompressed ahead of what was asked for, so that neither a bomb nor a lying size costs memory.
The bytes of headers are taken apart by the standard library.
"""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from drop.packages.content import FILES_MAX, UNPACKED_BYTES_MAX
from drop.packages.faults import PackageError

BLOCK = 512  # bytes; everything in a tar is a multiple of it
CHUNK = 1 << 18  # bytes that are read, decompressed and written at a time
ARCHIVE_BYTES_MAX = 512 << 20  # packed; half of what may come out of it
EXTENDED_BYTES_MAX = 4096  # of an extended header: a path and the target of a link
STREAM_BYTES_MAX = UNPACKED_BYTES_MAX + (FILES_MAX + 1) * (EXTENDED_BYTES_MAX + 4 * BLOCK)
END_BYTES_MAX = 20 * BLOCK + 2 * BLOCK  # of zeros behind the last member: tar fills its records

_OTHERS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.DIRTYPE: "an entry for a directory",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    size: int
    mode: int
    link: str | None  # the target; None: a regular file


class TarStream:
    """Members one after the other: `next`, then `read` until their bytes are taken."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._inflater = _Inflater(file, where)
        self._where = where
        self._left = 0  # bytes of the member that have not been taken
        self._padding = 0

    def next(self) -> Member | None:
        """None at the end, and then nothing but the end has been there."""
        assert self._left == 0, "the last member was not read to its end"
        self._skip_padding()
        block = self._inflater.read(BLOCK)
        if not block.strip(b"\0"):
            self._finish()
            return None
        header, extended = self._header(block), dict[str, str]()
        if header.type == tarfile.XHDTYPE:
            extended = self._extended(header)
            header = self._header(self._inflater.read(BLOCK))
        name = extended.get("path", header.name)
        if header.type not in (tarfile.REGTYPE, tarfile.SYMTYPE):
            what = _OTHERS.get(header.type, f"a member of type {header.type!r}")
            raise self.error(f"{name!r} is {what}; expected files and symbolic links only")
        link = None
        if header.type == tarfile.SYMTYPE:
            link = extended.get("linkpath", header.linkname)
        if header.size < 0 or (link is not None and header.size):
            raise self.error(f"{name!r} has the size {header.size}")
        self._open(header.size)
        return Member(name, header.size, header.mode, link)

    def read(self) -> bytes:
        """The next bytes of the member, at most CHUNK; empty at its end."""
        data = self._inflater.read(min(CHUNK, self._left))
        self._left -= len(data)
        return data

    def error(self, text: str) -> PackageError:
        return PackageError(f"{self._where}: {text}")

    def _open(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _skip_padding(self) -> None:
        if self._inflater.read(self._padding).strip(b"\0"):
            raise self.error("there is something between two members; it is not a package")
        self._padding = 0

    def _header(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise self.error(f"it is not a package: {error}") from None

    def _extended(self, header: tarfile.TarInfo) -> dict[str, str]:
        """The records of an extended header, each `LENGTH KEY=VALUE\\n`."""
        if not 0 < header.size <= EXTENDED_BYTES_MAX:
            raise self.error(
                f"an extended header has {header.size} bytes; at most {EXTENDED_BYTES_MAX}"
            )
        self._open(header.size)
        data, records = self.read(), dict[str, str]()
        self._skip_padding()
        while data:
            length, _, _ = data.partition(b" ")
            size = int(length) if length.isdigit() and len(length) < 6 else 0
            record, data = data[:size], data[size:]
            key, equals, value = record[len(length) + 1 :].partition(b"=")
            try:
                name, text = key.decode(), value.decode().removesuffix("\n")
            except UnicodeDecodeError:
                raise self.error("an extended header is not UTF-8") from None
            if not equals or not record.endswith(b"\n") or len(record) != size:
                raise self.error("an extended header is damaged")
            if name not in ("path", "linkpath") or name in records:
                raise self.error(f"an extended header sets {name!r}, which packages do not have")
            records[name] = text
        return records

    def _finish(self) -> None:
        rest = self._inflater.rest(END_BYTES_MAX)
        if rest is None or rest.strip(b"\0"):
            raise self.error("there is something behind its end; it is not a package")


class _Inflater:
    """The bytes inside a gzip file; exactly one member, and not more than STREAM_BYTES_MAX."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._where = where
        self._engine = zlib.decompressobj(wbits=31)  # 31: a gzip header, its checksum verified
        self._ready = bytearray()
        self._total = 0

    def read(self, size: int) -> bytes:
        """Exactly so many. Raises PackageError."""
        while len(self._ready) < size:
            if not self._more():
                raise PackageError(f"{self._where}: it ends in the middle; fetch it again")
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def rest(self, limit: int) -> bytes | None:
        """Everything that is left; None when that is more than `limit`, or not all is gzip."""
        while len(self._ready) <= limit and self._more():
            pass
        if len(self._ready) > limit or self._engine.unused_data or self._file.read(1):
            return None
        return bytes(self._ready)

    def _more(self) -> bool:
        """Decompress at most a chunk more; False at the end."""
        if self._engine.eof:
            return False
        packed = self._engine.unconsumed_tail or self._file.read(CHUNK)
        try:
            data = self._engine.decompress(packed, CHUNK)
        except zlib.error as error:
            raise PackageError(f"{self._where}: it is not a package, or damaged: {error}") from None
        if not packed and not data:
            raise PackageError(f"{self._where}: it ends in the middle; fetch it again")
        self._total += len(data)
        if self._total > STREAM_BYTES_MAX:
            raise PackageError(
                f"{self._where}: more than {STREAM_BYTES_MAX} bytes come out of it; refused"
            )
        self._ready += data
        return True
