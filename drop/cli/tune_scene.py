"""What a `drop tune` works on, and the question it asks before it writes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from drop.cli.errors import CommandError, UsageError
from drop.host.tuning import sysctl
from drop.host.tuning.advice import Machine, Profile
from drop.host.tuning.parameters import BY_KEY
from drop.host.tuning.persist import Files
from drop.host.tuning.plan import Row, Status, plan
from drop.host.tuning.saved import Store
from drop.host.tuning.sysctl import Sysctls


@dataclass(frozen=True)
class Scene:
    """What a run of the command works on."""

    machine: Machine
    profile: Profile
    sysctls: Sysctls
    store: Store
    files: Files
    as_json: bool
    yes: bool

    def rows(self) -> list[Row]:
        return plan(self.machine, sysctl.readings(self.sysctls, BY_KEY), self.profile)


def ask(scene: Scene, question: str, flag: str) -> None:
    """Returns when the answer is yes. Raises UsageError, CommandError."""
    if scene.yes:
        return
    if scene.as_json or not sys.stdin.isatty():
        raise UsageError(f"{flag} asks before it writes, and nobody can answer here: add --yes")
    sys.stdout.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed", "cancelled")


def need_root(rows: list[Row], flag: str) -> None:
    """Raises CommandError that names what a plain user cannot write."""
    if os.geteuid() == 0:
        return
    keys = [row.key for row in rows if row.status is Status.CHANGE]
    what = ", ".join(keys) or "nothing, as it is"
    raise CommandError(f"{flag} needs root, for: {what}. `sudo drop tune {flag}`", "denied")
