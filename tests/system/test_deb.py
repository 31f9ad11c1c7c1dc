"""The Debian packages in a root of their own: installed, upgraded, downgraded, removed, purged."""

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
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deb")


@pytest.fixture(scope="module")
def one(directory: Path) -> Packages:
    return build("deb", directory, "1.0")


@pytest.fixture(scope="module")
def two(directory: Path) -> Packages:
    return build("deb", directory, "2.0rc1")


@pytest.fixture
def host(directory: Path) -> Iterator[Recorded]:
    try:
        machine = Machine(directory)
    except NoMachine as reason:
        pytest.skip(str(reason))
    yield Recorded(machine)
    machine.close()


def dpkg(host: Recorded, *arguments: str) -> str:
    return host.machine.run("dpkg", *arguments, DEBIAN_FRONTEND="noninteractive").stdout


def state(host: Recorded, package: str) -> str:
    shown = host.machine.run("dpkg-query", "-W", "-f", "${Status}", package, check=False)
    return shown.stdout.split()[-1] if shown.stdout else "unknown"


def test_fields(one: Packages, two: Packages) -> None:
    command = ["dpkg-deb", "-f", two.core, "Version", "Depends", "Installed-Size"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    fields = dict(line.split(": ", 1) for line in shown.splitlines())
    assert fields["Version"] == "2.0~rc1-1"
    assert fields["Depends"] == "libc6 (>= 2.17), passwd"
    assert int(fields["Installed-Size"]) > 0


def test_files_are_roots_and_open(one: Packages) -> None:
    for package in (one.core, one.cli):
        command = ["dpkg-deb", "-c", package]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for line in listed.splitlines():
            mode, who = line.split()[:2]
            assert who == "root/root", line
            assert mode[7] == "r" or mode[0] == "l", line


def test_installed_removed_and_purged(host: Recorded, one: Packages) -> None:
    machine = host.machine
    dpkg(host, "-i", one.core, one.cli)
    assert host.asked() == ["daemon-reload", "preset drop-core.service"]
    for path, expected in (
        ("/home/drop-core", "drop-core:drop-core 750"),
        ("/var/lib/drop", "drop-core:drop-core 751"),
        ("/etc/drop", "root:drop-core 750"),
        ("/etc/drop/drop.yaml", "root:drop-core 640"),
        ("/opt/drop/bin/drop-node", "root:root 755"),
    ):
        assert owner(machine, path) == expected, path
    assert machine.output("drop-node", "--version").startswith("drop-node ")
    machine.write("/var/lib/drop/kept", "state")

    dpkg(host, "-r", "drop-core")
    assert host.asked() == ["stop drop-core.service", "daemon-reload"]
    assert state(host, "drop-core") == "config-files"
    assert not machine.path("/opt/drop").exists()
    assert machine.path("/etc/drop/drop.yaml").exists()
    assert machine.path("/var/lib/drop/kept").exists()

    dpkg(host, "-i", one.core)
    assert machine.path("/var/lib/drop/kept").read_text() == "state"
    assert host.asked() == ["daemon-reload", "try-restart drop-core.service"]

    dpkg(host, "-P", "drop-core", "drop-cli")
    assert state(host, "drop-core") == "unknown"
    for path in ("/opt/drop", "/opt/drop-cli", "/etc/drop", "/var/lib/drop", "/home/drop-core"):
        assert not machine.path(path).exists(), path


def test_upgraded_and_downgraded_with_the_edited_configuration(
    host: Recorded, one: Packages, two: Packages
) -> None:
    machine = host.machine
    dpkg(host, "-i", one.core)
    host.asked()
    machine.run("tee", "-a", "/etc/drop/drop.yaml", text="grace_ms: 5000\n")
    machine.run("chmod", "0600", "/etc/drop/drop.yaml")
    for package, version in ((two, "2.0rc1"), (one, "1.0")):
        dpkg(host, "-i", package.core)
        assert machine.output("cat", "/opt/drop/VERSION") == version
        assert host.asked()[-2:] == ["daemon-reload", "try-restart drop-core.service"]
        assert "stop drop-core.service" not in host.asked()
        assert "grace_ms: 5000" in machine.path("/etc/drop/drop.yaml").read_text()
        assert owner(machine, "/etc/drop/drop.yaml") == "root:drop-core 600"


def test_removing_the_command_leaves_the_node(host: Recorded, one: Packages) -> None:
    dpkg(host, "-i", one.core, one.cli)
    dpkg(host, "-P", "drop-cli")
    assert state(host, "drop-core") == "installed"
    assert host.machine.output("drop-node", "--version").startswith("drop-node ")


@pytest.mark.skipif(not shutil.which("lintian"), reason="needs lintian")
def test_lintian_finds_nothing(one: Packages) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning,info", one.core, one.cli]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")
