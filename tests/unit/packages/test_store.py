"""What is installed: side by side, whole or not at all, never changed in place."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drop.packages import store as store_module
from drop.packages.faults import PackageError
from drop.packages.image import image_package
from drop.packages.names import Reference
from drop.packages.record import digest_of
from drop.packages.store import Installed, PackageStore
from packages_tools import FUNCTION, archive, file_entry, make_directory, pack


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    return PackageStore(tmp_path / "var")


def packed(tmp_path: Path, version: str = "1.0.0", text: bytes = b"data") -> bytes:
    directory = make_directory(
        tmp_path / "source", {"lib/deep/data": text}, yaml=FUNCTION.format(version=version)
    )
    data = pack(directory)
    (directory / "lib/deep/data").unlink()
    return data


def install(store: PackageStore, data: bytes) -> tuple[Installed, bool]:
    return store.install(io.BytesIO(data), "x.dropfn")


def left_behind(store: PackageStore) -> list[str]:
    return [each for each in os.listdir(store.directory) if each.startswith(".")]


def test_versions_lie_side_by_side(store: PackageStore, tmp_path: Path) -> None:
    for version in ("1.10.0", "1.9.0", "2.0.0-beta"):
        installed, new = install(store, packed(tmp_path, version))
        assert new
        assert (installed.files / "lib/deep/data").read_bytes() == b"data"
    assert store.names() == ["hello"]
    assert store.versions("hello") == ["1.9.0", "1.10.0", "2.0.0-beta"]
    assert store.latest("hello") == "1.10.0"
    assert store.find(Reference("hello")).package.version == "1.10.0"
    assert store.find(Reference("hello", "1.9.0")).directory == store.directory / "hello/1.9.0"
    assert left_behind(store) == []


def test_the_same_again_changes_nothing(store: PackageStore, tmp_path: Path) -> None:
    first, _ = install(store, packed(tmp_path))
    before = os.stat(first.directory)
    again, new = install(store, packed(tmp_path))
    assert (again.directory, new) == (first.directory, False)
    assert digest_of(again.package) == digest_of(first.package)
    assert os.stat(first.directory) == before
    assert left_behind(store) == []


def test_other_content_needs_another_version(store: PackageStore, tmp_path: Path) -> None:
    installed, _ = install(store, packed(tmp_path))
    with pytest.raises(PackageError, match="installed with other content") as error:
        install(store, packed(tmp_path, text=b"other"))
    assert error.value.kind == "conflict"
    assert (installed.files / "lib/deep/data").read_bytes() == b"data"
    assert left_behind(store) == []


def test_nothing_is_left_of_a_bad_archive(store: PackageStore, tmp_path: Path) -> None:
    with pytest.raises(PackageError):
        install(store, archive([file_entry("a", b"x")], []))
    assert os.listdir(store.directory) == []


def test_nobody_can_write_into_it(store: PackageStore, tmp_path: Path) -> None:
    """Workers of another user read and run it; not even their own user changes it by mistake."""
    installed, _ = install(store, packed(tmp_path))
    for path, directories, files in os.walk(installed.files):
        for name in [".", *directories, *files]:
            mode = os.stat(os.path.join(path, name)).st_mode
            assert mode & 0o222 == 0, name
            assert mode & 0o444 == 0o444, name
    assert installed.directory.stat().st_mode & 0o777 == 0o755
    assert store.directory.stat().st_mode & 0o777 == 0o755
    assert store.directory.parent.stat().st_mode & 0o777 == 0o751


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reads_and_cannot_write(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as top:  # tmp_path is closed to others
        os.chmod(top, 0o755)
        installed, _ = install(PackageStore(Path(top) / "var"), packed(tmp_path))
        code = (
            "import os, sys; os.setgid(65534); os.setuid(65534);"
            "print(open('lib/deep/data').read());"
            "[print(os.access(p, os.W_OK)) for p in ('.', 'lib', 'lib/deep/data', '..', '../..')]"
        )
        run = subprocess.run(
            ["/usr/bin/env", "python3", "-c", code],
            cwd=installed.files,
            capture_output=True,
            text=True,
        )
        assert run.stdout.split() == ["data"] + ["False"] * 5, run.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_plain_user_installs_and_removes(tmp_path: Path) -> None:
    """Root may write where nobody may; this is for everybody else."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o777)
        file = Path(top) / "x.dropfn"
        file.write_bytes(packed(tmp_path))
        file.chmod(0o644)
        code = (
            "import os, sys\n"
            "from drop.packages.store import PackageStore\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "store = PackageStore(sys.argv[1] + '/var')\n"
            "for _ in range(2):\n"
            "    installed, new = store.install(open(sys.argv[1] + '/x.dropfn', 'rb'), 'x')\n"
            "    assert new and store.damage(installed) == []\n"
            "    try: open(installed.files / 'lib/evil', 'w')\n"
            "    except PermissionError: pass\n"
            "    else: sys.exit(3)\n"
            "    store.remove('hello', '1.0.0')\n"
            "assert os.listdir(store.directory) == []\n"
        )
        run = subprocess.run([sys.executable, "-c", code, top], capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")


def test_removal(store: PackageStore, tmp_path: Path) -> None:
    one, _ = install(store, packed(tmp_path, "1.0.0"))
    install(store, packed(tmp_path, "2.0.0"))
    with open(one.files / "lib/deep/data", "rb") as in_use:
        store.remove("hello", "1.0.0")
        assert in_use.read() == b"data"  # who has it open goes on
    assert store.versions("hello") == ["2.0.0"]
    store.remove("hello", "2.0.0")
    assert os.listdir(store.directory) == []
    with pytest.raises(PackageError, match="nothing is installed in"):
        store.remove("hello", "2.0.0")


def test_what_is_not_there_is_told_with_what_is(store: PackageStore, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="nothing is installed in"):
        store.find(Reference("hello"))
    install(store, packed(tmp_path))
    with pytest.raises(PackageError, match=r"no package hello:3\.0; installed of hello: 1\.0\.0"):
        store.find(Reference("hello", "3.0"))
    with pytest.raises(PackageError, match="no package absent; installed are: hello"):
        store.find(Reference("absent"))
    assert store.versions("../..") == []
    assert store.latest("absent") is None


def test_a_version_is_not_found_under_another_name(store: PackageStore, tmp_path: Path) -> None:
    installed, _ = install(store, packed(tmp_path))
    os.rename(installed.directory, installed.directory.with_name("6.6.6"))
    with pytest.raises(PackageError, match=r"says that it is hello:1\.0\.0"):
        store.find(Reference("hello", "6.6.6"))


def test_damage_is_found_and_can_be_removed(store: PackageStore, tmp_path: Path) -> None:
    installed, _ = install(store, packed(tmp_path))
    assert store.damage(installed) == []
    data = installed.files / "lib/deep/data"
    data.chmod(0o644)
    data.write_bytes(b"evil")
    assert store.damage(installed) == ["lib/deep/data"]
    data.parent.chmod(0o755)
    data.unlink()
    data.symlink_to("/etc/passwd")
    assert store.damage(installed) == ["lib/deep/data"]
    record = installed.directory / "manifest.json"
    record.chmod(0o644)
    record.write_bytes(b"{}")
    for attempt in (
        lambda: store.find(Reference("hello")),
        lambda: install(store, packed(tmp_path)),
    ):
        with pytest.raises(PackageError):
            attempt()
    store.remove("hello", "1.0.0")
    assert install(store, packed(tmp_path))[1]


def test_what_a_killed_installation_left_is_swept_away(store: PackageStore, tmp_path: Path) -> None:
    install(store, packed(tmp_path))
    for name in (".new-abc", ".gone-abc"):
        (store.directory / name / "files/x").mkdir(parents=True)
        (store.directory / name / "files").chmod(0o555)
    assert store.names() == ["hello"]
    install(store, packed(tmp_path, "2.0.0"))
    assert left_behind(store) == []


def test_one_that_is_being_unpacked_is_not_swept_away(store: PackageStore, tmp_path: Path) -> None:
    """Another program installs in the middle of this one's unpacking."""
    other = packed(tmp_path, "2.0.0")
    mine = packed(tmp_path, "1.0.0")

    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 0:
                assert PackageStore(store.directory.parent).install(io.BytesIO(other), "other")[1]
            return super().read(size)

    assert store.install(Interrupted(mine), "mine")[1]
    assert store.versions("hello") == ["1.0.0", "2.0.0"]


def test_many_install_the_same_at_once(store: PackageStore, tmp_path: Path) -> None:
    data = packed(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: install(store, data), range(16)))
    assert sum(new for _, new in results) == 1
    assert {each.directory for each, _ in results} == {store.directory / "hello/1.0.0"}
    assert left_behind(store) == []


def test_killed_at_any_moment_nothing_half_is_there(store: PackageStore, tmp_path: Path) -> None:
    """The process ends itself at each of the steps that touch the disk."""
    data = tmp_path / "x.dropfn"
    data.write_bytes(packed(tmp_path))
    code = (
        "import os, sys; from drop.packages import store; steps = [int(sys.argv[1])]\n"
        "def dying(real):\n"
        "    def step(*a, **k):\n"
        "        steps[0] -= 1\n"
        "        if steps[0] < 0: os._exit(9)\n"
        "        return real(*a, **k)\n"
        "    return step\n"
        "for name in ('fsync', 'rename', 'chmod', 'open', 'mkdir'):\n"
        "    setattr(os, name, dying(getattr(os, name)))\n"
        "store.PackageStore(sys.argv[2]).install(open(sys.argv[3], 'rb'), 'x')\n"
    )
    ended = []
    for step in (0, 2, 5, 8, 11, 14, 17, 20, 23, 26, 30, 34, 100):
        var = tmp_path / f"var-{step}"
        arguments = [sys.executable, "-c", code, str(step), str(var), str(data)]
        ended.append(subprocess.run(arguments, timeout=60).returncode)
        there = PackageStore(var)
        for version in there.versions("hello"):
            assert there.damage(there.find(Reference("hello", version))) == []
        assert install(there, data.read_bytes())[0].package.name == "hello"
        assert left_behind(there) == []
    assert ended[0] == 9
    assert ended[-1] == 0


def test_images(store: PackageStore) -> None:
    package = image_package("localhost:5000/team/validator:0.1.0")
    installed, new = store.install_record(package)
    assert new
    assert installed.package.manifest.function.image == "localhost:5000/team/validator:0.1.0"
    assert str(installed.package) == "validator:0.1.0"
    assert store.install_record(package)[1] is False
    with pytest.raises(PackageError, match="other content"):
        store.install_record(image_package("other/validator:0.1.0"))
    store.remove("validator", "0.1.0")
    digest = "a" * 64
    assert image_package(f"validator:1.0@sha256:{digest}").version == "1.0"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("validator", "is no image"),
        ("", "is no image"),
        ("a b:1.0", "is no image"),
        ("validator:latest", "is no version"),
        ("../x:../y", "is no image"),
    ],
)
def test_what_is_no_image(image: str, says: str) -> None:
    with pytest.raises(PackageError, match=says):
        image_package(image)


def test_the_names_of_the_store_are_stable() -> None:
    """A node of another version looks there."""
    assert store_module.DIRECTORY_NAME == "functions"
