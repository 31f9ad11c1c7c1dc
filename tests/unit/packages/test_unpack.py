"""Archives of others: each trick by hand, then archives that chance has damaged."""

from __future__ import annotations

import io
import os
import resource
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.packages import tarstream
from drop.packages.faults import PackageError
from drop.packages.record import Package
from drop.packages.unpack import read_package, unpack
from packages_tools import (
    archive,
    compressed,
    file_entry,
    make_directory,
    member,
    pack,
    plain_tar,
    record,
)

DATA = b"#!/bin/sh\nexec cat\n"


def unpacked(data: bytes, directory: Path) -> Package:
    return unpack(io.BytesIO(data), directory, "x.dropfn")


def refused(data: bytes, directory: Path) -> str:
    """Why; and nothing has been made outside of the directory, nor through a link."""
    before = sorted(directory.parent.rglob("*"))
    with pytest.raises(PackageError) as error:
        unpacked(data, directory)
    outside = [each for each in directory.parent.rglob("*") if directory not in each.parents]
    assert sorted(outside) == [each for each in before if directory not in each.parents]
    return str(error.value)


def fresh(place: Path) -> Path:
    """Another directory to unpack into."""
    return Path(tempfile.mkdtemp(dir=place.parent))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "inside" / "new"
    directory.mkdir(parents=True)
    return directory


def test_what_was_packed_comes_out(tmp_path: Path, place: Path) -> None:
    long = "/".join(["n" * 120] * 3)
    source = make_directory(
        tmp_path / "source",
        {"main": DATA, "lib/data": bytes(range(256)) * 999, "empty": b"", "link": "lib/data",
         long: b"long", "lib/up": "../main", "Ünï": b"u"},
    )  # fmt: skip
    (source / "main").chmod(0o700)
    package = unpacked(pack(source), place)
    files = place / "files"
    for each in source.rglob("*"):
        if each.is_file():
            assert (files / each.relative_to(source)).read_bytes() == each.read_bytes()
    assert os.readlink(files / "lib/up") == "../main"
    assert (files / "main").stat().st_mode & 0o7777 == 0o555
    assert (files / "empty").stat().st_mode & 0o7777 == 0o444
    assert (files / "lib").stat().st_mode & 0o7777 == 0o555
    assert str(package) == "hello:1.0.0"
    assert read_package(io.BytesIO(pack(source)), "x.dropfn") == package


PATHS = ["/etc/evil", "../evil", "a/../../../evil", "a\nb", "a\0b", "a//b", "e\u0301"]


@pytest.mark.parametrize("path", PATHS)
def test_paths_in_the_manifest(path: str, place: Path) -> None:
    data = archive([file_entry(path, b"x")], [member(f"files/{path}", b"x")])
    assert "the path" in refused(data, place)


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "files/../../evil", "files/b", "a"])
def test_names_of_members_that_the_manifest_does_not_have(name: str, place: Path) -> None:
    data = archive([file_entry("a", b"x")], [member(name, b"x")])
    assert "where the manifest has 'a'" in refused(data, place)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.DIRTYPE, "an entry for a directory"),
        (tarfile.CONTTYPE, "a member of type b'7'"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (tarfile.GNUTYPE_LONGNAME, "a member of type b'L'"),
        (tarfile.XGLTYPE, "a member of type b'g'"),
        (b"Z", "a member of type b'Z'"),
    ],
)
def test_types_of_members(kind: bytes, says: str, place: Path) -> None:
    data = archive([file_entry("a")], [member("files/a", type=kind, linkname="/etc/passwd")])
    assert says in refused(data, place)


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1755, 0o777, 0])
def test_modes(mode: int, place: Path) -> None:
    in_manifest = archive([file_entry("a", b"x", f"{mode:04o}")], [member("files/a", b"x")])
    assert "the mode" in refused(in_manifest, place)
    in_tar = archive([file_entry("a", b"x")], [member("files/a", b"x", mode=mode)])
    assert "the mode" in refused(in_tar, fresh(place))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "..", "a", "nothing"])
def test_links_that_lead_out_or_nowhere(target: str, place: Path) -> None:
    link = member("files/a", type=tarfile.SYMTYPE, linkname=target)
    assert "the link 'a'" in refused(archive([{"path": "a", "link": target}], [link]), place)


def test_a_file_that_is_written_through_a_link(place: Path) -> None:
    content = [{"path": "d", "link": "real"}, file_entry("d/evil", b"x"), file_entry("real/r")]
    members = [
        member("files/d", type=tarfile.SYMTYPE, linkname="real"),
        member("files/d/evil", b"x"),
        member("files/real/r"),
    ]
    assert "which is no directory" in refused(archive(content, members), place)


def test_a_link_where_the_manifest_has_a_file(place: Path) -> None:
    link = member("files/a", type=tarfile.SYMTYPE, linkname="../../../../etc/passwd")
    assert "the manifest says a file" in refused(archive([file_entry("a")], [link]), place)


def test_another_link_than_in_the_manifest(place: Path) -> None:
    content = [{"path": "a", "link": "b"}, file_entry("b")]
    link = member("files/a", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    assert "not the link" in refused(archive(content, [link]), place)


def test_a_file_where_the_manifest_has_a_link(place: Path) -> None:
    content = [{"path": "a", "link": "b"}, file_entry("b")]
    assert "not the link" in refused(archive(content, [member("files/a", b"x")]), place)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([file_entry("a"), file_entry("a")], "is there twice"),
        ([file_entry("A"), file_entry("a")], "differ only in case"),
        ([{**file_entry("a"), "size": 2**40}], "bytes unpacked"),
        ([{**file_entry("a"), "size": -1}], "has the size -1"),
        ([{**file_entry("a"), "size": True}], "neither a file nor a link"),
        ([{**file_entry("a"), "size": 1.0}], "neither a file nor a link"),
        ([{**file_entry("a"), "owner": 0}], "neither a file nor a link"),
        ([{"path": "a", "link": "b", "mode": "0644"}], "neither a file nor a link"),
        ([{"path": "a", "link": ["b"]}], "neither a file nor a link"),
        ([["a"]], "neither a file nor a link"),
    ],
)
def test_manifests_that_lie(content: list[dict[str, object]], says: str, place: Path) -> None:
    assert says in refused(archive(content, []), place)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "no manifest"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "JSON"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "no manifest"),
        (b'{"format": 1, "format": 1}', "a key is there twice"),
        (b'{"format": 2, "content": []}', "reads format 1"),
        (record([], format="1"), "reads format 1"),
        (record([], content={}), "lists no content"),
        (record([], name="../evil"), "a package's name"),
        (record([], version="../../evil"), "a version such as"),
        (record([], kind="magic"), "one of line"),
        (record([], cmd=[]), "empty command"),
        (record([], cmd=["a\0b"]), "NUL"),
        (record([], timeout="soon"), "milliseconds"),
        (record([], evil=True), "unknown key"),
        (record([], sub=[{"name": "x"}]), "in the flow"),
        (record([]).replace(b" ", b"  "), "not as `drop fun pack` writes it"),
    ],
)
def test_manifests_that_are_none(data: bytes, says: str, place: Path) -> None:
    tar = compressed(plain_tar([member("manifest.json", data)]))
    assert says in refused(tar, place)


def test_archives_without_a_manifest_at_their_start(place: Path) -> None:
    for members in ([], [member("files/a")], [member("files/a"), member("manifest.json")]):
        assert "does not begin with manifest.json" in refused(compressed(plain_tar(members)), place)
    link = member("manifest.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    assert "does not begin" in refused(compressed(plain_tar([link])), place)


def test_a_manifest_that_is_too_large(place: Path) -> None:
    huge = compressed(plain_tar([member("manifest.json", b" " * (17 << 20))]))
    assert "at most" in refused(huge, place)


def test_more_and_less_than_the_manifest_says(place: Path, tmp_path: Path) -> None:
    content = [file_entry("a", b"x")]
    more = archive(content, [member("files/a", b"x"), member("files/b", b"x")])
    assert "is not in the manifest" in refused(more, place)
    other = tmp_path / "other"
    other.mkdir()
    assert "not in the archive" in refused(archive(content, []), other)


def test_other_bytes_than_the_manifest_says(place: Path, tmp_path: Path) -> None:
    content = [file_entry("a", b"good")]
    assert "does not have the digest" in refused(
        archive(content, [member("files/a", b"evil")]), place
    )
    other = tmp_path / "other"
    other.mkdir()
    longer = archive(content, [member("files/a", b"longer")])
    assert "has 6 bytes" in refused(longer, other)


def test_extended_headers(place: Path) -> None:
    for headers, says in (
        ({"path": "files/../../evil"}, "where the manifest has"),
        ({"size": "99999999"}, "sets 'size'"),
        ({"SCHILY.xattr.user.x": "1"}, "sets 'SCHILY.xattr.user.x'"),
        ({"path": "p" * 5000}, "at most 4096"),
    ):
        info = member("files/a", b"x", pax_headers=headers)
        with pytest.raises(PackageError, match=says):
            unpack(io.BytesIO(archive([file_entry("a", b"x")], [info])), fresh(place), "x")


@pytest.mark.parametrize("tail", [b"x", b"\x1f\x8b", compressed(b"more"), b"\0"])
def test_bytes_behind_the_archive(tail: bytes, place: Path, tmp_path: Path) -> None:
    data = pack(make_directory(tmp_path / "source", {"a": b"x"}))
    assert "behind its end" in refused(data + tail, place)


def test_a_second_tar_behind_the_first(place: Path) -> None:
    """Some readers go on behind the end, and see other files."""
    first = plain_tar([member("manifest.json", record([]))])
    second = plain_tar([member("files/evil", b"x")])
    assert "behind its end" in refused(compressed(first + second), place)


def test_endless_zeros_behind_the_end(place: Path) -> None:
    tar = plain_tar([member("manifest.json", record([]))])
    assert "behind its end" in refused(compressed(tar + bytes(10 << 20)), place)


def test_a_bomb_costs_no_memory_and_no_disk(place: Path) -> None:
    """A gigabyte in a megabyte: refused by what the manifest says, before it is unpacked."""
    size = 1100 << 20
    content = [{**file_entry("bomb"), "size": size}]
    head = plain_tar([member("manifest.json", record(content))])[:-1024].rstrip(b"\0")
    data = compressed(head + bytes(64 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "bytes unpacked" in refused(data, place)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 << 10  # KiB
    assert list(place.rglob("*")) == []


def test_more_than_may_come_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarstream, "STREAM_BYTES_MAX", 1 << 20)
    data = archive([file_entry("a", bytes(2 << 20))], [member("files/a", bytes(2 << 20))])
    assert "bytes come out of it" in refused(data, place)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04", b"\x1f\x8b", compressed(b""), compressed(b"x" * 700)]
)
def test_what_is_no_archive_at_all(data: bytes, place: Path) -> None:
    assert "x.dropfn: it" in refused(data, place)


SMALL = archive(
    [file_entry("a", b"12345"), {"path": "l", "link": "a"}],
    [
        member("files/a", b"12345"),
        member("files/l", type=tarfile.SYMTYPE, linkname="a", mode=0o777),
    ],
)
PLAIN = plain_tar(
    [
        member("manifest.json", record([file_entry("a", b"12345"), {"path": "l", "link": "a"}])),
        member("files/a", b"12345"),
        member("files/l", type=tarfile.SYMTYPE, linkname="a", mode=0o777),
    ]
)


def survives(data: bytes) -> None:
    """It is refused with one kind of error, or everything in it is as the manifest says."""
    directory = Path(tempfile.mkdtemp())
    try:
        unpacked(data, directory)
    except PackageError:
        return
    else:
        assert (directory / "files/a").read_bytes() == b"12345"
        assert os.readlink(directory / "files/l") == "a"
        assert sorted(os.listdir(directory / "files")) == ["a", "l"]
    finally:
        for path, _, _ in os.walk(directory):
            os.chmod(path, 0o700)
        shutil.rmtree(directory)


@given(st.integers(0, len(SMALL)))
def test_archives_that_are_cut(length: int) -> None:
    survives(SMALL[:length])


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_a_byte_of_the_tar_is_changed(place: int, value: int) -> None:
    changed = bytearray(PLAIN)
    changed[place] = value
    survives(compressed(bytes(changed)))


@given(st.binary(max_size=2048))
def test_random_bytes(data: bytes) -> None:
    survives(data)
    survives(compressed(data))
    survives(SMALL + data)


FIELDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
)


KEYS = [
    "format",
    "name",
    "version",
    "kind",
    "cmd",
    "content",
    "cases",
    "build",
    "env",
    "num",
    "x-y",
]


@given(st.dictionaries(st.sampled_from(KEYS), FIELDS))
def test_manifests_of_chance(values: dict[str, object]) -> None:
    tar = plain_tar([member("manifest.json", record([], **values))])
    try:
        package = read_package(io.BytesIO(compressed(tar)), "x")
    except PackageError:
        return
    assert package.name == values.get("name", "hello")


def test_the_reader_takes_one_byte_at_a_time(tmp_path: Path, place: Path) -> None:
    """A file may give less than was asked for."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 1))

    assert unpack(Slow(SMALL), place, "x").name == "hello"
