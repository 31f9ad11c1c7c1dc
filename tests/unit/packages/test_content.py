"""What may lie in a package: every trick with paths and links, as a list that is checked first."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.packages import content
from drop.packages.content import Entry, File, Link, faults, path_fault

DIGEST = "0" * 64


def file(path: str, *, size: int = 0, mode: int = 0o644, sha256: str = DIGEST) -> File:
    return File(path, size, mode, sha256)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("../evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("a/..", "leads out"),
        ("a//b", "not in its shortest form"),
        ("a/./b", "not in its shortest form"),
        ("./a", "not in its shortest form"),
        ("a/", "not in its shortest form"),
        ("a\0b", "U+0000"),
        ("a\nb", "U+000A"),
        ("a\x1b[2Jb", "U+001B"),
        ("a\u202eb", "U+202E"),
        ("a\u200bb", "U+200B"),
        ("a\u2028b", "U+2028"),
        ("a\ue000b", "U+E000"),
        ("a\udc80b", "is not Unicode text"),
        ("cafe\u0301", "NFC"),
        ("x" * 256, "is too long"),
        ("/".join(["x" * 200] * 6), "is too long"),
        ("/".join("x" * 33), "is too deep"),
    ],
)
def test_hostile_paths(path: str, says: str) -> None:
    assert says in path_fault(path)
    assert any(says in each for each in faults([file(path)]))
    assert any(says in each for each in faults([Link(path, "x")]))


@pytest.mark.parametrize(
    "path", ["a", "a.b/c-d/e f", "Ünïcode/é", "..a", "a..", "日本", "a:b", "a\\b"]
)
def test_plain_paths(path: str) -> None:
    assert path_fault(path) == ""
    assert faults([file(path)]) == []


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["a", "a"], "is there twice"),
        (["A", "a"], "differ only in case"),
        (["lib/x", "Lib/y"], "differ only in case"),
        (["straße", "STRASSE"], "differ only in case"),
        (["ﬁle", "file"], "differ only in case"),
        (["a", "a/b"], "which is no directory"),
        (["a/b", "a"], "which is no directory"),
        (["İ", "i̇"], "differ only in case"),
    ],
)
def test_paths_that_meet(paths: list[str], says: str) -> None:
    assert any(says in each for each in faults([file(each) for each in paths]))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (file("a", mode=0o4755), "setuid"),
        (file("a", mode=0o2755), "setuid"),
        (file("a", mode=0o1644), "setuid"),
        (file("a", mode=0o666), "expected 0644 or 0755"),
        (file("a", size=-1), "has the size -1"),
        (file("a", sha256="x"), "no SHA-256"),
        (file("a", sha256="A" * 64), "no SHA-256"),
        (file("a", size=content.UNPACKED_BYTES_MAX + 1), "bytes unpacked"),
        (Link("a", ""), "has no target"),
        (Link("a", "/etc/passwd"), "is absolute"),
        (Link("a", ".."), "leads out"),
        (Link("a", "../a"), "leads out"),
        (Link("a/b", "../../x"), "leads out"),
        (Link("a", "b/../../x"), "leads"),
        (Link("a", "a"), "more than"),
        (Link("a", "nothing"), "leads to nothing"),
        (Link("a", "x\0y"), "U+0000"),
        (Link("a", "x" * 1025), "is too long"),
    ],
)
def test_hostile_entries(entry: Entry, says: str) -> None:
    assert any(says in each for each in faults([entry]))


def test_links_are_followed_through_links() -> None:
    """Each of them is harmless alone."""
    inside = [file("lib/real"), Link("lib/a", "real"), Link("b", "lib/a"), Link("c", "lib")]
    assert faults(inside) == []
    assert faults([*inside, Link("d", "c/../b")]) == []
    out = [file("x/y/z"), Link("up", "x/y"), Link("out", "up/../../../etc")]
    assert any("leads out" in each for each in faults(out))
    loop = [Link("a", "b"), Link("b", "a")]
    assert any("more than 16 links" in each for each in faults(loop))


def test_nothing_lies_below_a_link() -> None:
    """The classic: a link to a directory, then a file written through it."""
    entries: list[Entry] = [Link("lib", "real"), file("lib/evil"), file("real/x")]
    assert any("'lib', which is no directory" in each for each in faults(entries))


def test_counts_are_bounded() -> None:
    many = [file(f"f{number}") for number in range(content.FILES_MAX + 1)]
    assert faults(many) == [f"{content.FILES_MAX + 1} files; at most {content.FILES_MAX}"]
    assert len(faults([file(f"../{number}") for number in range(1000)])) == content.FAULTS_MAX
    two = [file("a", size=content.UNPACKED_BYTES_MAX), file("b", size=1)]
    assert any("bytes unpacked" in each for each in faults(two))


NAMES = st.sampled_from(["a", "b", "A", "..", ".", "", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@given(
    st.lists(
        st.one_of(PATHS.map(file), st.builds(Link, PATHS, PATHS)), max_size=8
    )
)  # fmt: skip
def test_what_passes_stays_inside_for_the_kernel_too(entries: list[Entry]) -> None:
    """Whatever is accepted is made on a real file system, and every path in it resolves inside."""
    if faults(entries):
        return
    with tempfile.TemporaryDirectory() as directory:
        top = Path(os.path.realpath(directory)) / "files"
        top.mkdir()
        for each in entries:
            place = top / each.path
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(each, Link):
                place.symlink_to(each.target)
            else:
                place.touch(exist_ok=False)
        for each in entries:
            assert (top / each.path).resolve(strict=True).is_relative_to(top)


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_a_fault(text: str) -> None:
    assert isinstance(path_fault(text), str)
    assert faults([file(text), file(text)]) != []
