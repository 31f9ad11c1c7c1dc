"""`drop tune`: shows what the kernel's settings are and should be; writes, keeps and undoes them.

Here: what was asked for, the question before anything is written, the report. What is recommended
and how it is written is in drop.host.tuning.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drop.cli import errors, output, tune_table
from drop.cli.errors import CommandError, UsageError
from drop.cli.tune_scene import Scene, ask, need_root
from drop.config import load_settings
from drop.errors import ConfigurationError
from drop.host.tuning import operations, sysctl
from drop.host.tuning.advice import Profile
from drop.host.tuning.operations import Outcome, State
from drop.host.tuning.parameters import BY_KEY, NOFILE
from drop.host.tuning.persist import Files, overruled
from drop.host.tuning.plan import Row, Status
from drop.host.tuning.saved import Record, Store, TuningError
from drop.host.tuning.sysctl import Sysctls

Document = dict[str, Any]
PROFILES = ", ".join(Profile)


def tune(
    *,
    apply: bool = False,
    persist: bool = False,
    revert: bool = False,
    check: bool = False,
    measure: bool = False,
    yes: bool = False,
    profile: str | None = None,
    var_dir: Path | None = None,
    json: bool = False,
) -> int:
    """1 when something could not be done, or (--check) when something has drifted."""
    action = _action(apply or persist, revert, check, measure)
    with reporting():
        scene = _scene(profile, var_dir, writes=bool(action), as_json=json, yes=yes)
        match action:
            case "write":
                return _write(scene, apply, persist)
            case "revert":
                return _revert(scene)
            case "check":
                return _check(scene)
            case "measure":
                from drop.cli import tune_measure  # it needs the native load generator

                return tune_measure.measure(scene)
        _show(scene)
    return errors.OK


def _action(write: bool, revert: bool, check: bool, measure: bool) -> str:
    asked = {"write": write, "revert": revert, "check": check, "measure": measure}
    chosen = [name for name, on in asked.items() if on]
    if len(chosen) > 1:
        flags = "--apply (with or without --persist), --revert, --check, --measure"
        raise UsageError(f"expected one of {flags}, and not several")
    return chosen[0] if chosen else ""


@contextmanager
def reporting() -> Iterator[None]:
    """Faults of tuning become those of the command. Raises CommandError."""
    try:
        yield
    except TuningError as error:
        raise CommandError(str(error), "failed") from None
    except ConfigurationError as error:
        raise CommandError(str(error), "bad_configuration", errors.USAGE) from None


def _scene(
    profile: str | None, var_dir: Path | None, *, writes: bool, as_json: bool, yes: bool
) -> Scene:
    if profile is not None and profile not in list(Profile):
        raise UsageError(f"--profile {profile}: expected one of {PROFILES}")
    settings = load_settings(var_dir=None if var_dir is None else str(var_dir))
    files = Files()
    store = Store(Path(settings.var_dir), files.all)
    record = _record(store, writes)
    chosen = profile or (record.profile if record else settings.tuning.profile)
    return Scene(sysctl.machine(), Profile(chosen), Sysctls(), store, files, as_json, yes)


def _record(store: Store, writes: bool) -> Record | None:
    """Who only looks is told of a record that cannot be read, and goes on without it."""
    try:
        record = store.load()
    except ConfigurationError as error:
        if writes:
            raise
        sys.stderr.write(f"drop: warning: {error}\n")
        return None
    if record and not record.complete:
        sys.stderr.write(
            "drop: warning: an earlier `drop tune` was interrupted while it wrote; `--revert` puts"
            " everything back, `--apply` finishes it\n"
        )
    return record


# -- looking --------------------------------------------------------------------------------------


def _show(scene: Scene) -> None:
    rows, options = scene.rows(), sysctl.options_of_this_machine(scene.profile)
    if scene.as_json:
        output.write_json(tune_table.document(scene.machine, scene.profile, rows, options))
        return
    print(tune_table.table(scene.machine, scene.profile, rows))
    print(f"\n{tune_table.sockets(scene.profile, options)}")


def _check(scene: Scene) -> int:
    record = scene.store.load()
    rows = operations.drifted(scene.rows(), record)
    files = operations.drifted_files(record)
    if scene.as_json:
        document = {"profile": scene.profile, "files": files}
        output.write_json({**document, "drifted": [tune_table.row_document(row) for row in rows]})
    elif rows or files:
        print("\n".join([*([tune_table.brief(rows)] if rows else []), *files]))
    else:
        print(f"as {'applied' if record else 'recommended'}, profile {scene.profile}")
    unfinished = record is not None and not record.complete
    return errors.FUNCTION if rows or files or unfinished else errors.OK


# -- writing --------------------------------------------------------------------------------------


def _write(scene: Scene, apply: bool, persist: bool) -> int:
    flag = " ".join(["--apply"] * apply + ["--persist"] * persist)
    rows = scene.rows()
    if not scene.as_json:
        print(tune_table.table(scene.machine, scene.profile, rows), end="\n\n")
    need_root(rows, flag)
    ask(scene, _question(rows, apply, persist), flag)
    outcomes, notes = list[Outcome](), list[str]()
    with scene.store.locked():
        rows = scene.rows()  # nobody else of us changes anything from here on
        if apply:
            outcomes += operations.apply(scene.sysctls, scene.store, rows, scene.profile)
        if persist:
            lost = frozenset(each.key for each in outcomes if each.state is not State.DONE)
            outcomes += operations.keep(scene.store, scene.files, rows, scene.profile, lost)
            notes += _after_persist(scene, outcomes)
        else:
            notes += _after_apply(rows)
    return report(scene, outcomes, notes, "nothing to do: all is as recommended")


def _question(rows: list[Row], apply: bool, persist: bool) -> str:
    changes = [row for row in rows if row.status is Status.CHANGE and row.key != NOFILE]
    lower = [row.key for row in changes if row.direction == "lowers"]
    parts = [f"write {len(changes)} value(s)"] if apply else []
    parts += [f"write {Files().sysctl} and the service's LimitNOFILE"] if persist else []
    lowered = f" ({', '.join(lower)} become lower)" if lower else ""
    return " and ".join(parts).capitalize() + lowered + "?"


def _after_apply(rows: list[Row]) -> list[str]:
    notes = ["these values last until a restart of the machine: `--persist` keeps them"]
    if any(row.key == NOFILE and row.status is Status.CHANGE for row in rows):
        notes.append(f"`{NOFILE}` is the service's LimitNOFILE: `--persist` writes it")
    return notes


def _after_persist(scene: Scene, outcomes: list[Outcome]) -> list[str]:
    written = {each.key for each in outcomes if each.state is State.DONE}
    notes = []
    if str(scene.files.sysctl) in written:
        notes += overruled(scene.files, [key for key in BY_KEY if key != NOFILE])
    if str(scene.files.limits) in written:
        unit = sysctl.SERVICE
        notes.append(f"LimitNOFILE: `systemctl daemon-reload && systemctl restart {unit}`")
    return notes


def report(scene: Scene, outcomes: list[Outcome], notes: list[str], nothing: str) -> int:
    """What became of each key; 1 when one was not done."""
    failed = tune_table.failed(outcomes)
    if scene.as_json:
        document: Document = {"profile": scene.profile, "ok": not failed, "notes": notes}
        output.write_json({**document, "outcomes": tune_table.outcome_documents(outcomes)})
        return errors.FUNCTION if failed else errors.OK
    print(tune_table.outcomes_text(outcomes) if outcomes else nothing)
    for text in notes if outcomes else []:
        print(f"note: {text}")
    if failed:
        sys.stderr.write(
            "drop: not everything could be done; what was changed is recorded in"
            f" {scene.store.path}, and `drop tune --revert` puts it back\n"
        )
    return errors.FUNCTION if failed else errors.OK


def _revert(scene: Scene) -> int:
    record = scene.store.load()
    if record is None:
        return report(scene, [], [], f"nothing to put back: there is no {scene.store.path}")
    if os.geteuid() != 0:
        raise CommandError("--revert needs root: `sudo drop tune --revert`", "denied")
    limits = str(scene.files.limits) in record.files
    with scene.store.locked():
        outcomes = operations.revert(scene.sysctls, scene.store)
    reload = f"LimitNOFILE: `systemctl daemon-reload && systemctl restart {sysctl.SERVICE}`"
    return report(scene, outcomes, [reload] if limits else [], "nothing to put back")
