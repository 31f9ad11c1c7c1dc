"""Reads of an ELF file what the dynamic loader will ask for. Pure: bytes in, facts out.

Only what x86_64 Linux has: 64 bits, little endian. The layout is that of elf(5). Most is found
through the program headers, as the loader finds it; the length of the table of symbols is written
in the section headers alone, which stripping leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x7fELF"
X86_64 = 62

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
NT_GNU_ABI_TAG = 1
SHT_DYNSYM, SHT_VERSYM = 11, 0x6FFFFFFF
WEAK = 2  # the binding of a symbol that may stay undefined

ENTRIES_MAX = 65_536  # of any table here but the next; a real file has some hundred
SYMBOLS_MAX = 1 << 20  # CPython has 2 000


class ElfError(ValueError):
    """Not a file that the loader of x86_64 Linux would take; the text says why."""


@dataclass(frozen=True)
class Elf:
    """What a program or shared object requires."""

    soname: str
    interpreter: str  # the loader that a program names; empty in a shared object
    needed: tuple[str, ...]
    run_paths: tuple[str, ...]  # of RPATH and RUNPATH, split
    versions: tuple[tuple[str, str], ...]  # (library, version of its symbols), sorted
    kernel: tuple[int, ...]  # the oldest that it says it runs on; empty: says nothing
    # What it takes from whatever has it, with no version: the linker of an object for another C
    # library lets a function that is missing there pass so, and the program ends when it is loaded.
    loose: frozenset[str]
    exported: frozenset[str]


def parse(data: bytes) -> Elf:
    """Reads a whole file; raises ElfError."""
    if data[:4] != MAGIC:
        raise ElfError("no ELF file")
    if data[4:6] != b"\x02\x01" or _read("<H", data, 18)[0] != X86_64:
        raise ElfError("not for x86_64 (64 bits, little endian)")
    return _Reader(data).elf()


def _read(form: str, data: bytes, offset: int) -> tuple[int, ...]:
    if offset + struct.calcsize(form) > len(data):
        raise ElfError(f"truncated: nothing at offset {offset}")
    return struct.unpack_from(form, data, offset)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        offset = _read("<Q", data, 32)[0]
        size, count = _read("<HH", data, 54)
        # type, flags, offset, address, physical address, size in the file, in memory, alignment
        self.segments = [_read("<IIQQQQQQ", data, offset + size * i) for i in range(count)]
        offset = _read("<Q", data, 40)[0]
        size, count = _read("<HH", data, 58)
        # name, type, flags, address, offset, size in the file, link, info, alignment, entry's size
        self.sections = [_read("<IIQQQQIIQQ", data, offset + size * i) for i in range(count)]
        self.dynamic = list(self._dynamic())
        self.strings = self._offset(self._value(DT_STRTAB)) if self.dynamic else 0

    def elf(self) -> Elf:
        paths = [
            self._string(value) for tag, value in self.dynamic if tag in (DT_RPATH, DT_RUNPATH)
        ]
        soname = [self._string(value) for tag, value in self.dynamic if tag == DT_SONAME]
        loose, exported = self._symbols()
        return Elf(
            soname="".join(soname),
            interpreter=self._interpreter(),
            needed=tuple(self._string(value) for tag, value in self.dynamic if tag == DT_NEEDED),
            run_paths=tuple(part for path in paths for part in path.split(":")),
            versions=tuple(sorted(set(self._versions()))),
            kernel=self._kernel(),
            loose=frozenset(loose),
            exported=frozenset(exported),
        )

    def _dynamic(self) -> Iterator[tuple[int, int]]:
        for kind, _, offset, _, _, size, _, _ in self.segments:
            if kind != PT_DYNAMIC:
                continue
            for index in range(min(size // 16, ENTRIES_MAX)):
                tag, value = _read("<QQ", self.data, offset + 16 * index)
                if tag == 0:
                    return
                yield tag, value

    def _value(self, tag: int) -> int:
        for found, value in self.dynamic:
            if found == tag:
                return value
        return 0

    def _offset(self, address: int) -> int:
        """Where in the file the loader's address is."""
        for kind, _, offset, start, _, size, _, _ in self.segments:
            if kind == PT_LOAD and start <= address < start + size:
                return offset + address - start
        raise ElfError(f"address {address:#x} is in no loaded segment")

    def _string(self, index: int) -> str:
        start = self.strings + index
        end = self.data.find(b"\0", start)
        if end < 0 or start >= len(self.data):
            raise ElfError(f"truncated: no string at offset {start}")
        return self.data[start:end].decode(errors="replace")

    def _interpreter(self) -> str:
        for kind, _, offset, _, _, size, _, _ in self.segments:
            if kind == PT_INTERP:
                return self.data[offset : offset + size].rstrip(b"\0").decode(errors="replace")
        return ""

    def _versions(self) -> Iterator[tuple[str, str]]:
        """Walks the two-level list behind DT_VERNEED."""
        address = self._value(DT_VERNEED)
        if not address:
            return
        offset = self._offset(address)
        for _ in range(min(self._value(DT_VERNEEDNUM), ENTRIES_MAX)):
            _, count, file, first, following = _read("<HHIII", self.data, offset)
            entry = offset + first
            for _ in range(count):
                _, _, _, name, after = _read("<IHHII", self.data, entry)
                yield self._string(file), self._string(name)
                if after == 0:  # the last one, and so no loop goes on without the file
                    break
                entry += after
            if following == 0:
                break
            offset += following

    def _symbols(self) -> tuple[set[str], set[str]]:
        """The names that are undefined without a version, and those that others may use."""
        loose, exported = set(), set()
        tables = [section for section in self.sections if section[1] == SHT_DYNSYM]
        if self.dynamic and not tables:
            raise ElfError("no table of symbols: the section headers are gone")
        versions = [section[4] for section in self.sections if section[1] == SHT_VERSYM]
        for table in tables:
            for index in range(1, min(table[5] // 24, SYMBOLS_MAX)):
                symbol = _read("<IBBHQQ", self.data, table[4] + 24 * index)
                name, info, _, section, _, _ = symbol
                version = _read("<H", self.data, versions[0] + 2 * index)[0] if versions else 1
                if section:
                    exported.add(self._string(name))
                elif version & 0x7FFF < 2 and info >> 4 != WEAK:
                    loose.add(self._string(name))
        return loose, exported

    def _kernel(self) -> tuple[int, ...]:
        """Of the GNU ABI note: words for the system (0: Linux) and three of its version."""
        for kind, _, offset, _, _, size, _, _ in self.segments:
            end = offset + size
            while kind == PT_NOTE and offset + 12 <= end:
                name, description, note = _read("<III", self.data, offset)
                body = offset + 12 + (name + 3) // 4 * 4
                owner = self.data[offset + 12 : offset + 12 + name]
                if owner == b"GNU\0" and note == NT_GNU_ABI_TAG and description >= 16:
                    return _read("<IIII", self.data, body)[1:]
                offset = body + (description + 3) // 4 * 4
        return ()
