"""The service on a real systemd, booted in namespaces: started, watched, reloaded, restarted."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop.client import Client
from node_tools import flow, pids, shell, until
from system.installed import Packages, build, owner
from system.machine import Machine, NoMachine

UNIT = "drop-core.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"
RIGHTS = "id -un; grep CapEff /proc/self/status | cut -f 2; cat /var/lib/drop/key 2>&1"
SHOW = f"while read m; do ({RIGHTS}) | tr '\\n' '|'; echo; done"
GATE = "/srv/gate"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("systemd")


@pytest.fixture(scope="module")
def packages(directory: Path) -> Packages:
    return build("deb", directory, "1.0")


@pytest.fixture(scope="module")
def upgrade(directory: Path) -> Packages:
    return build("deb", directory, "2.0")


@pytest.fixture(scope="module")
def booted(directory: Path, packages: Packages, upgrade: Packages) -> Iterator[Machine]:
    """With the package, which is not started. What is made after this is not seen in it."""
    try:
        machine = Machine(directory, boot=True)
    except NoMachine as reason:
        pytest.skip(str(reason))
    machine.run("dpkg", "-i", packages.core, packages.cli)
    try:
        machine.run("setpriv", "--reuid=drop-core", "--clear-groups", "drop-node", "--version")
    except AssertionError as error:
        machine.close()
        pytest.skip(f"another user cannot run this project: {error}")
    machine.write("/var/lib/drop/flows/f.yaml", flow("f", shell("p", SHOW, cwd="/", contain={})))
    machine.write("/var/lib/drop/key", "the key", 0o600)
    machine.run("chown", "-R", "drop-core:drop-core", "/var/lib/drop")
    yield machine
    machine.close()


@pytest.fixture
def machine(booted: Machine) -> Iterator[Machine]:
    """With the service running; settings of the test's own do not stay."""
    booted.run("systemctl", "reset-failed")
    booted.run("systemctl", "start", UNIT)
    yield booted
    booted.path(DROP_IN).unlink(missing_ok=True)
    booted.run("systemctl", "daemon-reload")


def show(machine: Machine, name: str) -> str:
    return machine.output("systemctl", "show", "--value", "-p", name, UNIT)


def main_pid(machine: Machine) -> int:
    """As the machine counts; 0: none."""
    return int(show(machine, "MainPID"))


def set_up(machine: Machine, lines: str) -> None:
    machine.write(DROP_IN, f"[Service]\n{lines}\n")
    machine.run("systemctl", "daemon-reload")


def client_of(machine: Machine) -> Client:
    return Client(f"unix:{machine.path('/run/drop/drop.sock')}")


def test_the_unit_has_no_fault(booted: Machine) -> None:
    checked = booted.run("systemd-analyze", "verify", "--man=no", UNIT)
    assert [line for line in checked.stderr.splitlines() if "drop" in line] == []


def test_it_runs_as_its_own_user_and_functions_as_another(machine: Machine) -> None:
    assert show(machine, "ActiveState") == "active"
    assert show(machine, "StatusText").startswith("listens on")
    pid = str(main_pid(machine))
    assert owner(machine, f"/proc/{pid}") == "drop-core:drop-core 555"
    assert owner(machine, "/run/drop") == "drop-core:drop-core 755"
    assert owner(machine, "/run/drop/drop.sock") == "drop-core:drop-core 600"
    with client_of(machine) as client:
        name, rights, key, *_ = client.call("p", b"x", timeout=30.0).decode().split("|")
    assert (name, rights) == ("drop", "0" * 16)
    assert key.endswith("Permission denied")


def test_the_nodes_files_stay_its_own(machine: Machine) -> None:
    """systemd gives a directory to the service as it is, and a packaged one stays root's."""
    assert owner(machine, "/var/lib/drop") == "drop-core:drop-core 751"
    assert owner(machine, "/etc/drop") == "root:drop-core 750"


def test_its_control_groups_are_its_own_to_divide(machine: Machine) -> None:
    assert show(machine, "Delegate") == "yes"
    group = f"/sys/fs/cgroup{show(machine, 'ControlGroup')}"
    assert owner(machine, f"{group}/cgroup.procs").startswith("drop-core:")


def test_a_reload_reads_the_flows_again(machine: Machine) -> None:
    machine.write("/var/lib/drop/flows/g.yaml", flow("g", shell("q", "cat", cwd="/", contain={})))
    before = main_pid(machine)
    machine.run("systemctl", "reload", UNIT)
    until(lambda: show(machine, "ActiveState") == "active")
    with client_of(machine) as client:
        until(lambda: "q" in str(client.control("flow.list")))
        assert client.call("q", b"x", timeout=30.0) == b"x"
    assert main_pid(machine) == before


def test_a_node_that_hangs_is_replaced(machine: Machine) -> None:
    set_up(machine, "WatchdogSec=1")
    machine.run("systemctl", "restart", UNIT)
    before = main_pid(machine)
    machine.run("kill", "-STOP", str(before))
    until(lambda: main_pid(machine) not in (0, before), 30.0)
    until(lambda: show(machine, "ActiveState") == "active", 30.0)
    log = machine.output("journalctl", "-u", UNIT, "-o", "cat")
    assert "Watchdog timeout" in log
    with client_of(machine) as client:
        assert client.call("p", b"x", timeout=30.0).startswith(b"drop|")


def test_a_node_that_answers_the_watchdog_is_left_alone(machine: Machine) -> None:
    set_up(machine, "WatchdogSec=1")
    machine.run("systemctl", "restart", UNIT)
    before, since = main_pid(machine), show(machine, "WatchdogTimestampMonotonic")
    for _ in range(3):
        until(lambda since=since: show(machine, "WatchdogTimestampMonotonic") != since)
        since = show(machine, "WatchdogTimestampMonotonic")
    assert main_pid(machine) == before


def test_a_killed_node_is_started_again(machine: Machine) -> None:
    with client_of(machine) as client:
        workers = until(lambda: pids(client))
    before = main_pid(machine)
    machine.run("kill", "-KILL", str(before))
    until(lambda: main_pid(machine) not in (0, before))
    until(lambda: show(machine, "ActiveState") == "active", 30.0)
    assert not any(machine.path(f"/proc/{pid}").exists() for pid in workers)


def test_a_restart_finishes_what_runs(machine: Machine) -> None:
    machine.run("mkfifo", "-m", "0666", GATE)
    wait = f"while read m; do cat {GATE}; done"
    machine.write("/var/lib/drop/flows/g.yaml", flow("g", shell("q", wait, cwd="/", contain={})))
    machine.run("systemctl", "restart", UNIT)
    before, said = main_pid(machine), []
    with client_of(machine) as client:
        call = threading.Thread(target=lambda: said.append(client.call("q", b"x", timeout=60.0)))
        call.start()
        gate = os.open(machine.path(GATE), os.O_WRONLY)  # until the function reads it
        restart = subprocess.Popen(machine.command("systemctl", "restart", UNIT))
        until(lambda: show(machine, "ActiveState") == "deactivating")
        assert main_pid(machine) == before
        os.write(gate, b"finished\n")
        os.close(gate)
        call.join()
    assert said == [b"finished"]
    assert restart.wait(60) == 0
    assert main_pid(machine) not in (0, before)
    assert show(machine, "Result") == "success"


def test_an_upgrade_restarts_it_and_a_removal_stops_it(
    machine: Machine, packages: Packages, upgrade: Packages
) -> None:
    before = main_pid(machine)
    machine.run("dpkg", "-i", upgrade.core)
    assert main_pid(machine) not in (0, before)
    assert show(machine, "ActiveState") == "active"
    machine.run("dpkg", "-r", "drop-core")
    assert show(machine, "ActiveState") == "inactive"
    machine.run("dpkg", "-i", packages.core)
    assert show(machine, "ActiveState") == "inactive"


def test_a_fault_of_the_configuration_is_said_before_anything_runs(booted: Machine) -> None:
    booted.run("systemctl", "stop", UNIT)
    booted.write("/etc/drop/drop.yaml", "grace_ms: soon\n")
    booted.run("chgrp", "drop-core", "/etc/drop/drop.yaml")
    set_up(booted, "Restart=no")
    assert booted.run("systemctl", "start", UNIT, check=False).returncode != 0
    log = booted.output("journalctl", "-u", UNIT, "-o", "cat", "-n", "20")
    assert "/etc/drop/drop.yaml:1" in log
