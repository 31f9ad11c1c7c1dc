"""What the tree's check reads of ELF files: against readelf, made by cc, and cut off anywhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from packaging_tree import load

elf = load("elf")

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
needs_readelf = pytest.mark.skipif(shutil.which("readelf") is None, reason="needs binutils")


def compile_c(directory: Path, code: str, *options: str, name: str = "libsmall.so") -> Path:
    """A shared object, or with other options what they say."""
    source = directory / f"{name}.c"
    source.write_text(code)
    target = directory / name
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(target), *options], check=True)
    return target


def readelf(*arguments: str | Path) -> str:
    """What binutils read, in English."""
    return subprocess.run(
        ["readelf", "--wide", *arguments], check=True, capture_output=True, text=True, env={}
    ).stdout


@needs_readelf
def test_versions_and_libraries_are_those_that_readelf_reads() -> None:
    path = Path(sys.executable).resolve()
    parsed = elf.parse(path.read_bytes())
    listed = readelf("--version-info", path)
    needs = listed.partition("Version needs section")[2]
    assert {version for _, version in parsed.versions} == set(re.findall(r"Name: (\S+)", needs))
    dynamic = readelf("--dynamic", path)
    assert list(parsed.needed) == re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    assert parsed.interpreter == "/lib64/ld-linux-x86-64.so.2"


@needs_cc
def test_names_and_run_paths_are_read(tmp_path: Path) -> None:
    options = ("-Wl,-soname,libsmall.so.1", "-Wl,-rpath,$ORIGIN/../lib:/opt/elsewhere")
    parsed = elf.parse(compile_c(tmp_path, "int one(void) { return 1; }", *options).read_bytes())
    assert parsed.soname == "libsmall.so.1"
    assert parsed.run_paths == ("$ORIGIN/../lib", "/opt/elsewhere")
    assert parsed.interpreter == ""


@needs_cc
def test_a_call_of_a_new_function_is_a_new_version(tmp_path: Path) -> None:
    code = "#include <sys/random.h>\nint one(void) { char b; return (int)getrandom(&b, 1, 0); }"
    parsed = elf.parse(compile_c(tmp_path, code).read_bytes())
    assert ("libc.so.6", "GLIBC_2.25") in parsed.versions


@needs_cc
def test_a_function_that_the_linker_did_not_find_is_loose(tmp_path: Path) -> None:
    code = (
        "int not_here(void);\nint maybe(void) __attribute__((weak));\n"
        "#include <unistd.h>\nint one(void) { return not_here() + getpid() + (maybe ? 1 : 0); }"
    )
    parsed = elf.parse(compile_c(tmp_path, code, "-s").read_bytes())
    assert parsed.loose == {"not_here"}
    assert "one" in parsed.exported


@needs_cc
@needs_readelf
def test_exported_names_are_those_that_readelf_reads() -> None:
    path = Path(sys.executable).resolve()
    rows = [line.split() for line in readelf("--dyn-syms", path).splitlines()]
    defined = {row[7].split("@")[0] for row in rows if len(row) > 7 and row[6].isalnum()}
    undefined = {row[7].split("@")[0] for row in rows if len(row) > 7 and row[6] == "UND"}
    assert elf.parse(path.read_bytes()).exported == defined - undefined - {"Name"}


@needs_cc
def test_every_part_of_a_file_is_refused_or_read(tmp_path: Path) -> None:
    data = compile_c(
        tmp_path, '#include <stdio.h>\nvoid one(void) { puts(""); }', "-s"
    ).read_bytes()
    whole = elf.parse(data)
    assert whole.needed == ("libc.so.6",)
    refused = 0
    for size in range(0, len(data), 7):
        try:
            elf.parse(data[:size])
        except elf.ElfError:
            refused += 1
    assert refused > 0


@needs_cc
def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    data = bytearray(compile_c(tmp_path, "int one(void) { return 1; }", "-s").read_bytes())
    outcomes = set()
    for offset in range(1024):
        damaged = bytes(data[:offset]) + b"\xff" + bytes(data[offset + 1 :])
        try:
            elf.parse(damaged)
            outcomes.add("read")
        except elf.ElfError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_what_is_no_elf_file_for_this_processor_is_refused() -> None:
    with pytest.raises(elf.ElfError, match="no ELF file"):
        elf.parse(b"#!/bin/sh\n")
    arm = b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00" + bytes(44)
    with pytest.raises(elf.ElfError, match="x86_64"):
        elf.parse(arm)
