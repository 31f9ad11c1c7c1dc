"""bootstrap.sh against a repository of this build, served by HTTP, for apt and for dnf."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.installed import Recorded, build, owner
from system.machine import ROOT, Machine, NoMachine

TOOLS = ("rpmbuild", "rpmsign", "createrepo_c", "apt-ftparchive", "dpkg-deb", "gpg", "curl")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
SCRIPT = (ROOT / "packaging/bootstrap.sh").read_text()
PORT = "8000"
URL = f"http://127.0.0.1:{PORT}"
KEY_USER = "drop test <drop@localhost>"
BASE = """
Name: machine-base
Version: 1
Release: 1
Summary: What this machine has, in words of rpm
License: none
Provides: glibc = 2.36, systemd, /bin/sh, /usr/sbin/useradd, /usr/sbin/groupadd
%description
%files
"""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository")


class Keyring:
    """A key that lives as long as the tests."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.environment = {**os.environ, "GNUPGHOME": home}
        make = ["--passphrase", "", "--quick-generate-key", KEY_USER, "rsa2048", "sign", "never"]
        self.gpg(*make)
        shown = self.gpg("--with-colons", "--fingerprint", KEY_USER)
        self.fingerprint = next(
            line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr")
        )

    def gpg(self, *arguments: str) -> str:
        command = ["gpg", "--batch", "--quiet", *arguments]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def close(self) -> None:
        command = ["gpgconf", "--kill", "all"]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keyring() -> Iterator[Keyring]:
    with tempfile.TemporaryDirectory(prefix="drop-gpg-") as home:  # short: it holds sockets
        made = Keyring(home)
        yield made
        made.close()


@pytest.fixture(scope="module")
def repository(directory: Path, keyring: Keyring) -> Path:
    place = directory / "repository"
    packages = [build(kind, directory, "1.0") for kind in ("rpm", "deb")]
    files = [file for each in packages for file in (each.core, each.cli)]
    command = [ROOT / "packaging/repository", "--key", keyring.fingerprint, "--output", place]
    made = subprocess.run(
        [*command, *files], env=keyring.environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == keyring.fingerprint
    return place


class Host(Recorded):
    """With the repository at URL."""

    def __init__(self, machine: Machine, repository: Path, fingerprint: str) -> None:
        super().__init__(machine)
        self.fingerprint = fingerprint
        serve = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1"]
        self.server = subprocess.Popen(
            machine.command(*serve, "--directory", str(repository), PORT),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.server.stdout is not None
        assert b"Serving" in self.server.stdout.readline()

    def bootstrap(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        named = ["--repository", URL, "--fingerprint", self.fingerprint]
        return self.machine.run("sh", "-s", "--", *named, *options, text=SCRIPT, check=check)

    def close(self) -> None:
        self.machine.close()  # and all that runs in it
        self.server.communicate()


@pytest.fixture
def host(directory: Path, repository: Path, keyring: Keyring) -> Iterator[Host]:
    """One of apt's."""
    try:
        machine = Machine(directory)
    except NoMachine as reason:
        pytest.skip(str(reason))
    made = Host(machine, repository, keyring.fingerprint)
    machine.write("/etc/os-release", "ID=debian\n")
    # No other repository: none can be reached from there, and their lists take long to read.
    machine.run("sh", "-c", "rm -rf /etc/apt/sources.list* /var/lib/apt/lists/*")
    yield made
    made.close()


@pytest.fixture
def rpm_host(host: Host, directory: Path) -> Host:
    if not shutil.which("dnf"):
        pytest.skip("needs dnf")
    machine = host.machine
    machine.write("/etc/os-release", 'ID=rocky\nID_LIKE="rhel centos fedora"\nVERSION_ID=9\n')
    machine.write("/tmp/base.spec", BASE)
    machine.run("rpmbuild", "-bb", "--quiet", "--define", "_topdir /tmp/base", "/tmp/base.spec")
    machine.run("sh", "-c", "rpm -i --nodeps /tmp/base/RPMS/*/*.rpm; rm -f /etc/yum.repos.d/*")
    return host


def test_the_index_and_the_packages_are_signed(repository: Path, keyring: Keyring) -> None:
    index = repository / "rpm/repodata/repomd.xml"
    keyring.gpg("--verify", f"{index}.asc", str(index))
    keyring.gpg("--verify", str(repository / "deb/dists/stable/InRelease"))
    for package in (repository / "rpm").glob("*.rpm"):
        shown = subprocess.run(
            ["rpm", "-qp", "--qf", "%{RSAHEADER:pgpsig}", package], capture_output=True, text=True
        ).stdout
        assert keyring.fingerprint[-16:].lower() in shown


def check_installed(host: Host, packages: str) -> None:
    machine = host.machine
    assert machine.output("drop-node", "--version").startswith("drop-node ")
    assert "drop-core" in machine.output("sh", "-c", packages)
    assert machine.path("/etc/drop-env").read_text() == "OTHER=1\nDROP_IFACE=eth1\n"
    assert machine.path("/var/lib/drop/drop-hosts").read_text() == "10.0.0.4\n10.0.0.5\n"
    assert owner(machine, "/var/lib/drop/drop-hosts").startswith("drop-core:drop-core")


OPTIONS = ("--iface", "eth1", "--hosts", "10.0.0.4, 10.0.0.5")


def test_a_machine_of_apt(host: Host) -> None:
    host.machine.write("/etc/drop-env", "OTHER=1\nexport DROP_IFACE=eth0\n")
    host.bootstrap(*OPTIONS)
    check_installed(host, "dpkg-query -W -f '${Package} ${Status}' drop-core")
    assert host.asked()[-2:] == ["enable --quiet drop-core", "restart drop-core"]

    host.bootstrap(*OPTIONS)  # again: nothing differs, nothing is restarted
    assert host.asked() == ["enable --quiet drop-core", "start drop-core"]

    host.bootstrap("--uninstall")
    assert not host.machine.path("/opt/drop").exists()
    assert not host.machine.path("/etc/apt/sources.list.d/drop.list").exists()
    assert host.machine.path("/var/lib/drop/drop-hosts").exists()


def test_a_machine_of_dnf(rpm_host: Host) -> None:
    rpm_host.machine.write("/etc/drop-env", "OTHER=1\n")
    rpm_host.bootstrap(*OPTIONS)
    check_installed(rpm_host, "rpm -q drop-core drop-cli")
    assert rpm_host.asked()[-2:] == ["enable --quiet drop-core", "restart drop-core"]
    rpm_host.bootstrap(*OPTIONS)
    assert rpm_host.asked() == ["enable --quiet drop-core", "start drop-core"]
    rpm_host.bootstrap("--uninstall")
    assert not rpm_host.machine.path("/opt/drop").exists()


def test_a_dry_run_says_all_and_changes_nothing(host: Host) -> None:
    machine = host.machine
    said = host.bootstrap("--dry-run", *OPTIONS).stdout
    for part in ("apt-get install", "DROP_IFACE=eth1", "10.0.0.5", "systemctl restart drop-core"):
        assert part in said
    said += host.bootstrap("--dry-run", "--no-start").stdout
    said += host.bootstrap("--dry-run", "--uninstall").stdout
    for done in ("drop: installed", "drop: removed", "drop: the node runs"):
        assert done not in said
    for path in ("/opt/drop", "/usr/share/keyrings/drop.asc", "/etc/drop-env", "/var/lib/drop"):
        assert not machine.path(path).exists()
    assert host.asked() == []


def test_a_link_in_the_directory_of_the_node_is_not_followed(host: Host) -> None:
    machine = host.machine
    machine.run("mkdir", "-p", "/var/lib/drop")
    machine.run("ln", "-s", "/etc/passwd", "/var/lib/drop/drop-hosts")
    before = machine.output("sha256sum", "/etc/passwd")
    refused = host.bootstrap(*OPTIONS, "--dry-run", check=False)
    assert refused.returncode == 1
    assert "drop-hosts is a symbolic link" in refused.stderr
    assert machine.output("sha256sum", "/etc/passwd") == before


def test_another_key_is_refused_before_anything_is_changed(host: Host) -> None:
    host.fingerprint = "0" * 40
    refused = host.bootstrap(check=False)
    assert refused.returncode == 1
    assert "is another one" in refused.stderr
    assert not host.machine.path("/usr/share/keyrings/drop.asc").exists()
    assert not host.machine.path("/opt/drop").exists()


def test_a_second_key_in_the_file_is_refused(host: Host, keyring: Keyring) -> None:
    keyring.gpg("--passphrase", "", "--quick-generate-key", "other", "rsa2048", "sign", "never")
    machine = host.machine
    both = keyring.gpg("--armor", "--export", KEY_USER, "other")
    machine.run("mkdir", "/tmp/both")
    machine.write("/tmp/both/drop.asc", both)
    named = ["--repository", "file:///tmp/both", "--fingerprint", host.fingerprint]
    refused = machine.run("sh", "-s", "--", *named, text=SCRIPT, check=False)
    assert refused.returncode == 1
    assert "is another one" in refused.stderr


def test_the_hash_of_the_key_will_do(host: Host) -> None:
    host.fingerprint = host.machine.output(
        "sh", "-c", f"curl -s {URL}/drop.asc | sha256sum | cut -d ' ' -f 1"
    )
    host.machine.run("rm", "-f", "/usr/bin/gpg")
    host.bootstrap("--no-start")
    assert host.machine.path("/opt/drop/VERSION").exists()
    assert not [line for line in host.asked() if "start" in line]


def test_a_package_that_was_changed_is_refused(host: Host, repository: Path) -> None:
    machine = host.machine
    (package,) = (repository / "deb/pool").glob("drop-core*.deb")
    machine.run("tee", "-a", str(package), text="x")  # in the machine's layer alone
    refused = host.bootstrap(check=False)
    assert refused.returncode == 1
    assert "apt-get failed" in refused.stderr
    assert not machine.path("/opt/drop").exists()


def test_the_clusters_key_is_installed_as_the_nodes(host: Host) -> None:
    machine = host.machine
    host.bootstrap("--no-start")
    if machine.run("drop", "key", "--help", check=False).returncode != 0:
        pytest.skip("there is no `drop key` in this version")
    machine.run("drop", "key", "generate", "--output", "/root/key")
    host.bootstrap("--no-start", "--key", "/root/key")
    assert owner(machine, "/var/lib/drop/key") == "drop-core:drop-core 600"
