"""The rules for a tree that runs everywhere: each breach is found and named, and nothing else."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from packaging_tree import TREE, load

elf = load("elf")
portable = load("portable")

NOTHING: dict[str, Any] = {
    "soname": "",
    "interpreter": "",
    "needed": (),
    "run_paths": (),
    "versions": (),
    "kernel": (),
    "loose": frozenset(),
    "exported": frozenset(),
}


def program(path: str = "lib/one.so", **facts: object) -> Any:
    return portable.Entry(path, 0o755, "file", elf=elf.Elf(**{**NOTHING, **facts}))


def breaches(*entries: Any) -> str:
    return "\n".join(portable.faults(list(entries)))


@pytest.mark.parametrize(
    ("version", "old_enough"),
    [
        ("GLIBC_2.2.5", True),
        ("GLIBC_2.17", True),
        ("GLIBC_2.18", False),
        ("GLIBC_2.34", False),
        ("GLIBC_PRIVATE", False),
        ("GLIBC_ABI_DT_RELR", False),
        ("GCC_3.0", True),
        ("GCC_7.0.0", False),
        ("UNKNOWN_1.0", False),
    ],
)
def test_symbol_versions(version: str, old_enough: bool) -> None:
    found = breaches(program(versions=(("libc.so.6", version),)))
    assert (found == "") is old_enough
    assert old_enough or version in found


def test_a_version_of_a_library_in_the_tree_is_its_own_matter() -> None:
    facts = {"needed": ("libown.so",), "run_paths": ("$ORIGIN",)}
    versions = (("libown.so", "OWN_9.9"),)
    assert breaches(program(versions=versions, **facts), program("lib/libown.so")) == ""


def test_libraries_are_in_the_base_system_or_where_a_run_path_leads() -> None:
    assert breaches(program(needed=("libc.so.6", "libgcc_s.so.1"))) == ""
    own = program("lib/own/libown.so")
    reached = program(needed=("libown.so",), run_paths=("$ORIGIN/own",))
    assert breaches(reached, own) == ""
    assert "no run path" in breaches(program(needed=("libown.so",)), own)
    assert "neither in the tree nor" in breaches(program(needed=("libstdc++.so.6",)))


@pytest.mark.parametrize("run_path", ["/opt/lib", "$ORIGIN/../..", "lib", "$ORIGINAL", ""])
def test_a_run_path_that_leads_out_of_the_tree(run_path: str) -> None:
    assert "run path" in breaches(program(run_paths=(run_path,)))


def test_a_run_path_within_the_tree() -> None:
    assert breaches(program("lib/a/one.so", run_paths=("$ORIGIN/../..", "$ORIGIN"))) == ""


def test_a_function_that_glibc_2_17_lacks() -> None:
    extension = program(loose=frozenset({"sigabbrev_np", "PyErr_Format", "_PyLong_New"}))
    assert breaches(extension).count("\n") == 0
    assert "uses sigabbrev_np" in breaches(extension)
    shim = program("lib/shim.so", exported=frozenset({"sigabbrev_np"}))
    assert breaches(extension, shim) == ""


def test_an_interpreter_in_the_tree_has_to_have_what_extensions_use() -> None:
    exported = frozenset({"Py_BytesMain", "PyErr_Format"})
    python = program("bin/python3", interpreter=portable.LOADER, exported=exported)
    assert breaches(python, program(loose=frozenset({"PyErr_Format"}))) == ""
    newer = program(loose=frozenset({"PyOfTomorrow"}))
    assert "uses PyOfTomorrow" in breaches(python, newer)


def test_the_interpreter_may_bring_libdl() -> None:
    extension = program(loose=frozenset({"dlopen"}))
    bare = program("bin/python3", interpreter=portable.LOADER)
    assert "uses dlopen" in breaches(extension, bare)
    with_libdl = program("bin/python3", interpreter=portable.LOADER, needed=("libdl.so.2",))
    assert breaches(extension, with_libdl) == ""


def test_the_loader_and_the_kernel() -> None:
    assert breaches(program(interpreter=portable.LOADER, kernel=(3, 2, 0))) == ""
    assert "loader" in breaches(program(interpreter="/nix/ld.so"))
    assert "kernels before 4.4.0" in breaches(program(kernel=(4, 4, 0)))


@pytest.mark.parametrize(
    ("mode", "word"),
    [(0o4755, "setuid"), (0o2755, "setgid"), (0o777, "writable"), (0o664, "writable")],
)
def test_modes(mode: int, word: str) -> None:
    assert word in breaches(portable.Entry("bin/one", mode, "file"))


@pytest.mark.parametrize(
    ("mode", "line", "breach"),
    [
        (0o755, b"#!/bin/sh", ""),
        (0o755, b"#!/bin/sh -e", ""),
        (0o755, b"#!/usr/bin/env python3", "only /bin/sh"),
        (0o755, b"#!/home/me/build/bin/python", "only /bin/sh"),
        (0o644, b"#! /usr/bin/env python3", ""),
        (0o644, b"#!/home/me/build/bin/python", "only the build's machine"),
        (0o644, b"#!", "only the build's machine"),
    ],
)
def test_scripts(mode: int, line: bytes, breach: str) -> None:
    found = breaches(portable.Entry("bin/one", mode, "file", first_line=line))
    assert breach in found
    assert (found == "") is (breach == "")


@pytest.mark.parametrize(
    ("target", "breach"),
    [("two", ""), ("/bin/two", "absolute"), ("../../two", "outside"), ("three", "not exist")],
)
def test_links(target: str, breach: str) -> None:
    link = portable.Entry("bin/one", 0o777, "link", target=target)
    found = breaches(link, portable.Entry("bin/two", 0o755, "file"))
    assert breach in found
    assert (found == "") is (breach == "")


def check(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TREE / "check"), str(tree), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One that has no fault."""
    (tmp_path / "tree" / "bin").mkdir(parents=True, mode=0o755)
    script = tmp_path / "tree" / "bin" / "start"
    script.write_text("#!/bin/sh\nexec true\n")
    script.chmod(0o755)
    (tmp_path / "tree" / "bin" / "link").symlink_to("start")
    return tmp_path / "tree"


def test_the_command_says_yes(tree: Path) -> None:
    done = check(tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert "runs with glibc 2.17" in done.stdout


def test_the_command_names_every_fault(tree: Path) -> None:
    (tree / "bin" / "start").chmod(stat.S_ISUID | 0o755)
    (tree / "bin" / "broken.so").write_bytes(b"\x7fELF\x02\x01")
    (tree / "bin" / "broken.so").chmod(0o644)
    (tree / "place").write_text("made in /home/me/build, they say")
    (tree / "place").chmod(0o644)
    os.mkfifo(tree / "pipe", 0o600)
    done = check(tree, "--forbid", "/home/me/build")
    assert done.returncode == 1
    for expected in ("start: setuid", "broken.so: truncated", "place: contains", "pipe: neither"):
        assert expected in done.stderr
    assert "4 faults" in done.stdout


def test_the_command_refuses_what_is_no_directory(tree: Path) -> None:
    assert check(tree / "nowhere").returncode == 2
