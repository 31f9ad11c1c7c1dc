"""From a directory to an archive: what gets in, always the same bytes, and what is refused."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drop.errors import ConfigurationError
from drop.packages.archive import archive_name, write_archive
from drop.packages.content import File
from drop.packages.faults import PackageError
from drop.packages.install import pack as pack_file
from drop.packages.manifest import load_manifest
from drop.packages.record import Package
from drop.packages.tree import package_of
from drop.packages.unpack import unpack
from packages_tools import make_directory, pack


def package(directory: Path) -> Package:
    return package_of(load_manifest(directory), directory)


def names(directory: Path) -> list[str]:
    return [each.path for each in package(directory).content]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the times, the owners' modes and the order in which files were made."""
    one = make_directory(tmp_path / "one", {"a": b"1", "b/c": b"2", "l": "b/c"})
    two = make_directory(tmp_path / "two", {"l": "b/c", "b/c": b"2", "a": b"1"})
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o600)
    (two / "b").chmod(0o700)
    data = pack(one)
    assert pack(two) == data == pack(one)
    (two / "a").chmod(0o700)  # that it can be executed is part of it
    assert pack(two) != data


def test_an_archive_says_nothing_of_the_machine(tmp_path: Path) -> None:
    data = pack(make_directory(tmp_path / "source", {"a": b"1", "l": "a"}))
    assert data[4:8] == bytes(4)  # no time
    assert data[3] == 0  # no name
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        for each in tar:
            assert (each.uid, each.gid, each.uname, each.gname, each.mtime) == (0, 0, "", "", 0)
        assert tar.getnames() == ["manifest.json", "files/a", "files/function.yaml", "files/l"]


def test_litter_stays_behind(tmp_path: Path) -> None:
    directory = make_directory(
        tmp_path / "source",
        {"main.py": b"", ".git/HEAD": b"", "x/__pycache__/m.pyc": b"", "m.o": b"", "x/y": b""},
    )
    assert names(directory) == ["function.yaml", "main.py", "x/y"]
    yaml = "name: hello\nversion: 1.0.0\ncmd: cat\nfiles: {include: ['*.py', .git], exclude: [x]}\n"
    (directory / "function.yaml").write_text(yaml)
    assert names(directory) == [".git/HEAD", "main.py"]


def test_special_files_are_named(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "source", {})
    os.mkfifo(directory / "pipe")
    with pytest.raises(PackageError, match=r"pipe is a FIFO.*files\.exclude"):
        package(directory)
    (directory / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(directory)  # the path of a socket is short
        try:
            listener.bind("door")
        finally:
            os.chdir(here)
        with pytest.raises(PackageError, match="door is a socket"):
            package(directory)


@pytest.mark.parametrize(
    ("target", "says"),
    [("/etc/passwd", "is absolute"), ("../x", "leads out"), ("gone", "leads to nothing")],
)
def test_links_that_could_not_be_installed(target: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=says):
        package(make_directory(tmp_path / "source", {"l": target}))


def test_what_could_not_be_installed_is_not_packed(tmp_path: Path) -> None:
    for count, name in enumerate(("a\nb", "cafe\u0301", b"\xff".decode(errors="surrogateescape"))):
        with pytest.raises(PackageError, match="the path"):
            package(make_directory(tmp_path / str(count), {name: b""}))


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drop.packages.tree.FILES_MAX", 3)
    directory = make_directory(tmp_path / "source", {"a": b"", "b": b"", "c": b""})
    with pytest.raises(PackageError, match="more than 3 files"):
        package(directory)


def test_the_program_has_to_be_in_it(tmp_path: Path) -> None:
    yaml = "name: hello\nversion: 1.0.0\ncmd: ./bin/main --fast\n"
    directory = make_directory(tmp_path / "source", {}, yaml=yaml)
    with pytest.raises(ConfigurationError, match=r"3:6: cmd: \./bin/main is not among the 1 files"):
        package(directory)
    make_directory(directory, {"bin/main": b"#!/bin/sh\n"}, yaml=yaml)
    with pytest.raises(ConfigurationError, match="not executable; expected chmod"):
        package(directory)
    (directory / "bin/main").chmod(0o755)
    assert names(directory) == ["bin/main", "function.yaml"]
    (directory / "function.yaml").write_text(yaml.replace("./bin/", "./") + "cwd: bin\n")
    assert names(directory) == ["bin/main", "function.yaml"]


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "source", {"a": b"before"})
    before = package(directory)
    for text in (b"after!", b"longer than before", b"short"):
        (directory / "a").write_bytes(text)
        with pytest.raises(PackageError, match="changed while it was packed"):
            write_archive(before, directory, io.BytesIO())
    (directory / "a").unlink()
    with pytest.raises(FileNotFoundError):
        write_archive(before, directory, io.BytesIO())


def test_pack_writes_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_directory(tmp_path / "source", {"a": b"1"})
    monkeypatch.chdir(tmp_path)
    made, file, digest = pack_file(directory, None)
    assert file == Path(archive_name(made)) == Path("hello-1.0.0.dropfn")
    assert len(digest) == 64
    assert file.stat().st_mode & 0o777 == 0o644
    before = file.read_bytes()
    (directory / "a").write_bytes(b"2")
    monkeypatch.setattr("drop.packages.install.os.fsync", _full)
    with pytest.raises(OSError, match="No space"):
        pack_file(directory, file)
    assert file.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["hello-1.0.0.dropfn", "source"]


def _full(fd: int) -> None:
    raise OSError(28, "No space left on device")


def test_the_build_step(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    yaml = (
        "name: hello\nversion: 1.0.0\ncmd: ./main\n"
        "build:\n  - cp main.sh main\n  - [sh, -c, 'echo built; chmod +x main']\n"
    )
    directory = make_directory(tmp_path / "source", {"main.sh": b"#!/bin/sh\ncat\n"}, yaml=yaml)
    made, _, _ = pack_file(directory, tmp_path / "x")
    main = next(each for each in made.content if each.path == "main")
    assert isinstance(main, File)
    assert main.mode == 0o755
    out, err = capfd.readouterr()
    assert (out, err) == ("", "built\n")


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("nonexistent-tool -x", "needs nonexistent-tool, and there is none in PATH"),
        ("./absent", "cannot start `./absent`: No such file"),
        ("sh -c 'exit 3'", "the build failed: `sh -c 'exit 3'` ended with exit code 3"),
        ("sh -c 'kill -9 $$'", "was killed by signal 9"),
    ],
)
def test_a_build_that_fails(step: str, says: str, tmp_path: Path) -> None:
    yaml = f"name: hello\nversion: 1.0.0\ncmd: cat\nbuild:\n  - {step}\n".replace("$$", "'$$'")
    yaml = (
        yaml
        if "kill" not in step
        else yaml.split("build:")[0] + ("build:\n  - [sh, -c, 'kill -9 $$']\n")
    )
    directory = make_directory(tmp_path / "source", {}, yaml=yaml)
    with pytest.raises(PackageError) as error:
        pack_file(directory, tmp_path / "x")
    assert says in str(error.value)
    assert "function.yaml:5" in str(error.value)
    assert error.value.kind == "build"
    assert not (tmp_path / "x").exists()


SAFE = st.text("abc.-_ éß", min_size=1, max_size=6).filter(lambda s: s.strip(".") == s != "")
TREES = st.dictionaries(
    st.lists(SAFE, min_size=1, max_size=3).map("/".join), st.binary(max_size=600), max_size=6
)


@settings(max_examples=60)
@given(TREES)
def test_any_tree_comes_out_as_it_went_in(files: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as top:
        try:
            source = make_directory(Path(top) / "source", files)
        except OSError:  # a file where a directory shall be: no tree
            return
        try:
            data = pack(source)
        except PackageError:  # names that meet when case is folded, or are not composed
            return
        new = Path(top) / "new"
        new.mkdir()
        unpack(io.BytesIO(data), new, "x")
        for path, content in files.items():
            if not path.endswith("~"):
                assert (new / "files" / path).read_bytes() == content
        for path, _, _ in os.walk(new):
            os.chmod(path, 0o700)
