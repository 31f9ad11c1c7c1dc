"""The record, the persisted files and what the operations make of them, in a directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from as_nobody import as_nobody, needs_root
from drop.errors import ConfigurationError
from drop.host.tuning import operations, persist
from drop.host.tuning.advice import GIB, Machine, Profile
from drop.host.tuning.operations import State
from drop.host.tuning.parameters import BY_KEY, NOFILE
from drop.host.tuning.persist import Files, overruled, values_in
from drop.host.tuning.plan import Reading, Row, plan
from drop.host.tuning.saved import Change, FileChange, Record, Store, TuningError
from drop.host.tuning.sysctl import Sysctls, readings

MACHINE = Machine(64 * GIB, 16, (6, 1))
START = {
    "vm.swappiness": "60",
    "kernel.panic": "0",
    "net.core.somaxconn": "128",
    "net.ipv4.tcp_fin_timeout": "60",
}
TARGET = {
    "vm.swappiness": "10",
    "kernel.panic": "10",
    "net.core.somaxconn": "4096",
    "net.ipv4.tcp_fin_timeout": "30",
}


class Place:
    """A root directory with its own sys, etc and var."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = Files(root)
        self.var = root / "var"
        self.sysctls = Sysctls(root / "sys")
        self.store = Store(self.var, self.files.all)
        self.var.mkdir()
        self.files.sysctl.parent.mkdir(parents=True)
        for key, value in START.items():
            self.sysctls.path(key).parent.mkdir(parents=True, exist_ok=True)
            self.sysctls.path(key).write_text(f"{value}\n")

    def values(self) -> dict[str, str]:
        return {key: self.sysctls.text(key) for key in START}

    def rows(self) -> list[Row]:
        found = readings(self.sysctls, BY_KEY) | {NOFILE: Reading("1024")}
        return plan(MACHINE, found, Profile.THROUGHPUT)

    def apply(self, sysctls: Sysctls | None = None) -> dict[str, State]:
        outcomes = operations.apply(sysctls or self.sysctls, self.store, self.rows(), "throughput")
        return {each.key: each.state for each in outcomes}

    def keep(self, *failed: str) -> dict[str, State]:
        outcomes = operations.keep(
            self.store, self.files, self.rows(), "throughput", frozenset(failed)
        )
        return {each.key: each.state for each in outcomes}

    def revert(self) -> dict[str, State]:
        return {each.key: each.state for each in operations.revert(self.sysctls, self.store)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Stopping(Sysctls):
    """Ctrl-C comes at the third write."""

    count = 0

    def write(self, key: str, text: str) -> str:
        self.count += 1
        if self.count == 3:
            raise KeyboardInterrupt
        return super().write(key, text)


def test_stopped_by_ctrl_c_the_record_has_what_was_written(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        place.apply(Stopping(place.sysctls.root))
    record = place.store.load()
    assert record is not None
    assert record.complete
    assert record.values == {
        "vm.swappiness": Change("60", "10"),
        "kernel.panic": Change("0", "10"),
    }
    assert place.values() == START | {"vm.swappiness": "10", "kernel.panic": "10"}
    assert set(place.revert().values()) == {State.DONE}
    assert place.values() == START


class Torn(Sysctls):
    """A kernel that takes a part of a value and refuses the rest, as it may for three numbers."""

    def write(self, key: str, text: str) -> str:
        if key == "net.core.somaxconn":
            super().write(key, "999")
            raise OSError(22, "Invalid argument")
        return super().write(key, text)


def test_a_value_that_was_written_in_part_is_put_back(place: Place) -> None:
    assert place.apply(Torn(place.sysctls.root))["net.core.somaxconn"] is State.FAILED
    record = place.store.load()
    assert record is not None
    assert record.values["net.core.somaxconn"].before == "128"
    place.revert()
    assert place.values() == START


def test_what_cannot_be_put_back_stays_in_the_record(place: Place) -> None:
    assert set(place.apply().values()) == {State.DONE}
    path = place.sysctls.path("kernel.panic")
    hidden = path.rename(path.with_name("elsewhere"))
    assert place.revert()["kernel.panic"] is State.FAILED
    record = place.store.load()
    assert record is not None
    assert list(record.values) == ["kernel.panic"]
    hidden.rename(path)
    assert place.revert() == {"kernel.panic": State.DONE}
    assert place.values() == START
    assert place.store.load() is None


def test_what_somebody_else_has_changed_is_said(place: Place) -> None:
    place.apply()
    place.sysctls.write("vm.swappiness", "42")
    texts = {each.key: each.text for each in operations.revert(place.sysctls, place.store)}
    assert texts["vm.swappiness"] == "somebody had made '42' of it"
    assert texts["kernel.panic"] == ""
    assert place.values() == START


def test_persisted_files_and_back(place: Place) -> None:
    place.apply()
    assert place.keep() == dict.fromkeys(place.files.all, State.DONE)
    assert values_in(place.files.sysctl.read_text()) == TARGET
    assert persist.limit_in(place.files.limits.read_text()) == "65536"
    place.revert()
    assert not place.files.sysctl.exists()
    assert not place.files.limits.parent.exists()
    assert place.store.load() is None


def test_what_failed_is_not_persisted(place: Place) -> None:
    place.keep("kernel.panic")
    assert "kernel.panic" not in values_in(place.files.sysctl.read_text())


def test_a_file_that_was_there_comes_back_byte_for_byte(place: Place) -> None:
    old = b"\x00\xff no newline"
    place.files.sysctl.write_bytes(old)
    place.files.sysctl.chmod(0o600)
    for _ in range(3):
        place.keep()
    assert place.files.sysctl.read_bytes() != old
    place.revert()
    assert place.files.sysctl.read_bytes() == old
    assert place.files.sysctl.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_replaced_by_a_file(place: Place, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("vm.swappiness = 1\n")
    place.files.sysctl.symlink_to(tmp_path / "theirs")
    with pytest.raises(TuningError, match="is a symbolic link; nothing was changed"):
        place.keep()
    assert place.files.sysctl.is_symlink()
    assert place.store.load() is None


def test_a_directory_that_cannot_be_written_to(place: Place) -> None:
    """A file in the place of the directory: root, too, fails there."""
    place.files.sysctl.parent.rmdir()
    place.files.sysctl.parent.write_text("")
    with pytest.raises(TuningError, match="Not a directory; nothing was changed"):
        place.keep()
    assert place.store.load() is None


def test_who_overrules_at_boot(place: Place) -> None:
    def put(name: str, text: str) -> Path:
        path = place.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    put("etc/sysctl.d/10-early.conf", "vm.swappiness = 1\n")
    later = put("etc/sysctl.d/99-late.conf", "-vm/swappiness=1\n; kernel.panic = 1\n#\n junk\n")
    put("usr/lib/sysctl.d/99-late.conf", "kernel.panic = 1\n")  # hidden by the one above
    vendor = put("usr/lib/sysctl.d/95-vendor.conf", "net.core.somaxconn=512\nvm.other=1\n")
    old = put("etc/sysctl.conf", "kernel.panic = 5\n")
    assert overruled(place.files, START) == [
        f"{later} sets vm.swappiness = 1 and is read later and wins at boot",
        f"{vendor} sets net.core.somaxconn = 512 and is read later and wins at boot",
        f"{old} sets kernel.panic = 5 and wins where `sysctl --system` is used at boot",
    ]
    (place.root / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    assert overruled(place.files, ["kernel.panic"]) == [
        f"{place.root}/etc/sysctl.d/99-sysctl.conf sets kernel.panic = 5"
        " and is read later and wins at boot"
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("vm.swappiness=1", {"vm.swappiness": "1"}),
        ("  -vm/swappiness =  1  ", {"vm.swappiness": "1"}),
        ("net.ipv4.tcp_rmem = 1\t2  3", {"net.ipv4.tcp_rmem": "1 2 3"}),
        ("net/ipv4/conf/eth0.1/rp_filter=1", {"net.ipv4.conf.eth0.1.rp_filter": "1"}),
        ("# vm.swappiness=1", {}),
        ("; vm.swappiness=1", {}),
        ("vm.swappiness", {}),
        ("", {}),
    ],
)
def test_lines_of_sysctl_d(line: str, found: dict[str, str]) -> None:
    assert values_in(line) == found


# -- the record -----------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was(place: Place) -> None:
    record = Record(
        "edge",
        {"vm.swappiness": Change("60", "10")},
        {place.files.all[0]: FileChange(b"\x00\xff", 0o600, b"new", True),
         place.files.all[1]: FileChange(None, 0o644, b"", False)},
        complete=True,
    )  # fmt: skip
    place.store.save(record)
    assert place.store.load() == record
    assert place.store.path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in place.var.iterdir()] == ["tuning.json"]


def test_every_byte_of_a_record_may_be_missing(place: Place) -> None:
    place.apply()
    data = place.store.path.read_bytes()
    for length in range(len(data) - 2):
        place.store.path.write_bytes(data[:length])
        with pytest.raises(ConfigurationError, match="is damaged"):
            place.store.load()


def test_a_record_that_others_may_write(place: Place) -> None:
    place.apply()
    place.store.path.chmod(0o602)
    with pytest.raises(ConfigurationError, match=r"can be written by others \(mode 0602\)"):
        place.store.load()


def test_a_record_that_is_a_link_or_no_file(place: Place) -> None:
    place.store.path.symlink_to("/etc/passwd")
    with pytest.raises(ConfigurationError, match="cannot be read: Too many levels"):
        place.store.load()
    place.store.path.unlink()
    os.mkfifo(place.store.path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        place.store.load()


def test_a_record_is_not_written_where_it_may_not_be(place: Place) -> None:
    def refused() -> tuple[str, str]:
        store = Store(Path("/proc/nowhere"), ())
        try:
            with store.locked():
                return "", ""
        except TuningError as error:
            return str(error), type(error).__name__

    text, _ = as_nobody(refused)
    assert "cannot be recorded" in text
    assert "nothing was changed" in text


@needs_root
def test_a_plain_user_is_told_whose_record_it_is(tmp_path: Path) -> None:
    directory = Path(f"/tmp/drop-record-{os.getpid()}")
    directory.mkdir(mode=0o755)
    try:
        Store(directory, ()).save(Record("edge"))

        def look() -> str:
            try:
                Store(directory, ()).load()
            except ConfigurationError as error:
                return str(error)
            return ""

        assert "expected root, whose file it is" in as_nobody(look)
    finally:
        (directory / "tuning.json").unlink()
        directory.rmdir()


def test_a_record_that_is_a_directory_leaks_nothing(place: Place) -> None:
    place.store.path.mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigurationError, match="is not a file"):
        place.store.load()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("field", "value"), [("profile", "warp"), ("profile", 3), ("mode", float("inf"))]
)
def test_a_record_with_what_nobody_writes(place: Place, field: str, value: object) -> None:
    file = {"before_base64": None, "mode": 420, "written_base64": "", "made_directory": False}
    document = {"version": 1, "profile": "edge", "complete": True, "values": {}}
    (file if field == "mode" else document)[field] = value
    document["files"] = {place.files.all[0]: file}
    place.store.path.parent.mkdir(parents=True, exist_ok=True)
    place.store.path.write_text(json.dumps(document))
    place.store.path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="is damaged"):
        place.store.load()
