"""What tests of packages share: packages of several versions, and a machine that records what its
scriptlets ask of systemd."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from system.machine import ROOT, Machine, make_tree

SYSTEMCTL = '#!/bin/sh\necho "$*" >> /run/systemctl.log\n'
LOG = "/run/systemctl.log"


@dataclass(frozen=True)
class Packages:
    core: str
    cli: str


def build(kind: str, directory: Path, version: str) -> Packages:
    """`kind`: rpm or deb. Their paths."""
    place = directory / f"{kind}-{version}"
    node = make_tree(place / "node", version)
    client = make_tree(place / "client", version, client=True)
    options = ["--tree", str(node), "--client-tree", str(client), "--output", str(place / "out")]
    command = [str(ROOT / "packaging" / kind / "build"), *options]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    by_name = {Path(line).name[:8]: line for line in built.stdout.splitlines()}
    return Packages(by_name["drop-cor"], by_name["drop-cli"])


class Recorded:
    """A machine where systemd seems to run, and what it was asked."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.run("mkdir", "-p", "/run/systemd/system")
        machine.write("/usr/bin/systemctl", SYSTEMCTL, 0o755)

    def asked(self) -> list[str]:
        """Since the last time."""
        log = self.machine.path(LOG)
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


def owner(machine: Machine, path: str) -> str:
    """USER:GROUP MODE."""
    return machine.output("stat", "-c", "%U:%G %a", path)
