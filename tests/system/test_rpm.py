"""The RPM packages in a root of their own: installed, upgraded, downgraded, removed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.installed import Packages, Recorded, build, owner
from system.machine import Machine, NoMachine

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("rpmbuild"), reason="needs rpmbuild"),
]

OF_RPM_4_11 = {
    "rpmlib(CompressedFileNames)",
    "rpmlib(FileDigests)",
    "rpmlib(PayloadFilesHavePrefix)",
    "rpmlib(PayloadIsXz)",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rpm")


@pytest.fixture(scope="module")
def one(directory: Path) -> Packages:
    return build("rpm", directory, "1.0")


@pytest.fixture(scope="module")
def two(directory: Path) -> Packages:
    return build("rpm", directory, "2.0")


@pytest.fixture
def host(directory: Path) -> Iterator[Recorded]:
    try:
        machine = Machine(directory)
    except NoMachine as reason:
        pytest.skip(str(reason))
    yield Recorded(machine)
    machine.close()


def rpm(host: Recorded, *arguments: str) -> str:
    # Debian's own packages are unknown to rpm, so what they provide is, too.
    return host.machine.run("rpm", *arguments, "--nodeps").stdout


def query(package: str, *options: str) -> list[str]:
    ran = subprocess.run(["rpm", "-qp", *options, package], check=True, capture_output=True)
    return ran.stdout.decode().splitlines()


def test_an_old_rpm_can_read_it(one: Packages) -> None:
    for package in (one.core, one.cli):
        needed = {line.split()[0] for line in query(package, "--requires")}
        assert {each for each in needed if each.startswith("rpmlib")} <= OF_RPM_4_11
        shown = query(package, "--qf", "%{PAYLOADCOMPRESSOR} %{FILEDIGESTALGO}")
        assert shown == ["xz 8"]


def test_nothing_is_needed_that_one_distribution_alone_has(one: Packages) -> None:
    needed = {line for line in query(one.core, "--requires") if not line.startswith("rpmlib")}
    assert needed == {
        "/bin/sh",
        "/usr/sbin/groupadd",
        "/usr/sbin/useradd",
        "glibc >= 2.17",
        "systemd",
    }


def test_versions_that_are_not_final_come_before_the_final_one(directory: Path) -> None:
    early = build("rpm", directory, "3.0rc1")
    assert query(early.core, "--qf", "%{VERSION}") == ["3.0~rc1"]


def test_installed_and_removed(host: Recorded, one: Packages) -> None:
    machine = host.machine
    rpm(host, "-i", one.core, one.cli)
    assert host.asked() == ["daemon-reload", "preset drop-core.service"]
    assert machine.output("getent", "passwd", "drop-core").split(":")[5:] == [
        "/home/drop-core",
        "/usr/sbin/nologin",
    ]
    assert machine.output("getent", "passwd", "drop").split(":")[5] == "/nonexistent"
    assert owner(machine, "/home/drop-core") == "drop-core:drop-core 750"
    assert owner(machine, "/var/lib/drop") == "drop-core:drop-core 751"
    assert owner(machine, "/etc/drop") == "root:drop-core 750"
    assert owner(machine, "/etc/drop/drop.yaml") == "root:drop-core 640"
    assert owner(machine, "/opt/drop/bin/drop-node") == "root:root 755"
    assert machine.output("drop-node", "--version").startswith("drop-node ")
    machine.write("/var/lib/drop/kept", "state")

    rpm(host, "-e", "drop-core", "drop-cli")
    assert host.asked() == [
        "--no-reload disable drop-core.service",
        "stop drop-core.service",
        "daemon-reload",
    ]
    assert not machine.path("/opt/drop").exists()
    assert not machine.path("/usr/bin/drop-node").exists()
    assert machine.path("/var/lib/drop/kept").read_text() == "state"
    assert machine.output("id", "-u", "drop-core")  # whose files are still there

    rpm(host, "-i", one.core)
    assert owner(machine, "/var/lib/drop/kept") == "root:root 644"
    assert host.asked() == ["daemon-reload", "preset drop-core.service"]


def test_upgraded_and_downgraded_with_the_edited_configuration(
    host: Recorded, one: Packages, two: Packages
) -> None:
    machine = host.machine
    rpm(host, "-i", one.core)
    host.asked()
    machine.run("tee", "-a", "/etc/drop/drop.yaml", text="grace_ms: 5000\n")
    for package, version, option in ((two, "2.0", "-U"), (one, "1.0", "--oldpackage")):
        rpm(host, "-U", option, package.core)
        assert machine.output("cat", "/opt/drop/VERSION") == version
        assert host.asked() == ["daemon-reload", "daemon-reload", "try-restart drop-core.service"]
        assert "grace_ms: 5000" in machine.path("/etc/drop/drop.yaml").read_text()
        assert owner(machine, "/etc/drop/drop.yaml") == "root:drop-core 640"


def test_without_systemd_nothing_is_asked(host: Recorded, one: Packages) -> None:
    host.machine.run("rm", "-r", "/run/systemd")
    rpm(host, "-i", one.core)
    rpm(host, "-e", "drop-core")
    # Of files alone, so that an image that is being made has the service enabled or not.
    assert host.asked() == [
        "preset drop-core.service",
        "--no-reload disable drop-core.service",
    ]


def test_users_are_made_without_sysusers(host: Recorded, one: Packages) -> None:
    host.machine.run("rm", "-f", "/usr/bin/systemd-sysusers", "/bin/systemd-sysusers")
    rpm(host, "-i", one.core)
    for user, home in (("drop-core", "/home/drop-core"), ("drop", "/nonexistent")):
        entry = host.machine.output("getent", "passwd", user).split(":")
        assert entry[5:] == [home, "/usr/sbin/nologin"]
        assert int(entry[2]) < 1000
        assert host.machine.output("id", "-gn", user) == user


def test_the_command_is_the_nodes_where_there_is_a_node(host: Recorded, one: Packages) -> None:
    machine = host.machine
    for tree in ("drop", "drop-cli"):
        assert not machine.path(f"/opt/{tree}").exists()
    rpm(host, "-i", one.cli)
    machine.write("/opt/drop-cli/bin/drop", "#!/bin/sh\necho client $1\n", 0o755)
    assert machine.output("drop", "x") == "client x"
    rpm(host, "-i", one.core)
    machine.write("/opt/drop/bin/drop", "#!/bin/sh\necho node $1\n", 0o755)
    assert machine.output("drop", "x") == "node x"
