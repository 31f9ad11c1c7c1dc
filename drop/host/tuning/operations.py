"""Writes a plan, keeps it over restarts, and undoes all of it; each step by a record made before.

One key's failure stops no other: the outcome says of each what became of it, and what the record
holds afterwards is what `revert` has to put back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from drop.host.tuning import persist
from drop.host.tuning.parameters import NOFILE
from drop.host.tuning.persist import Files
from drop.host.tuning.plan import Row, Status, Write, same, writes
from drop.host.tuning.saved import Change, Record, Store, TuningError
from drop.host.tuning.sysctl import Sysctls

RECORD = "record"


class State(StrEnum):
    DONE = "done"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Outcome:
    key: str  # or a file, or `record`
    state: State
    before: str = ""
    value: str = ""
    text: str = ""


def apply(sysctls: Sysctls, store: Store, rows: Sequence[Row], profile: str) -> list[Outcome]:
    """Writes what the rows ask for. Raises TuningError, ConfigurationError: nothing was changed."""
    todo = writes(rows)
    outcomes = write_recorded(sysctls, store, todo, profile)
    return [*outcomes, *(_not_tried(row) for row in rows if row.status is Status.LOCKED)]


def write_recorded(
    sysctls: Sysctls, store: Store, todo: Sequence[Write], profile: str
) -> list[Outcome]:
    """The originals of all go to the disk first; then each is written."""
    if not todo:
        return []
    record = store.load() or Record(profile)
    known = {key: replace(each) for key, each in record.values.items()}
    for each in todo:
        before = known[each.key].before if each.key in known else each.before
        record.values[each.key] = Change(before, each.value)
    record.profile, record.complete = profile, False
    store.save(record)
    outcomes: list[Outcome] = []
    try:
        for each in todo:
            outcomes.append(_write(sysctls, each))
    finally:
        states = {each.key: each.state for each in outcomes}
        for each in todo:
            if states.get(each.key) is not State.DONE:
                _forget(sysctls, record, known, each)
        record.complete = True
        outcomes += _settle(store, record)
    return outcomes


def _write(sysctls: Sysctls, each: Write) -> Outcome:
    try:
        made = sysctls.write(each.key, each.value)
    except OSError as error:
        why = f"{error.strerror} (writing {each.value!r})"
        return Outcome(each.key, State.FAILED, each.before, each.value, why)
    if not same(made, each.value):
        why = f"the kernel made {made!r} of {each.value!r}"
        return Outcome(each.key, State.FAILED, each.before, made, why)
    return Outcome(each.key, State.DONE, each.before, each.value)


def _forget(sysctls: Sysctls, record: Record, known: Mapping[str, Change], each: Write) -> None:
    """A key that was not written; unless a part of the value was, as triples can be."""
    try:
        if not same(sysctls.text(each.key), each.before):
            return
    except OSError:
        pass  # it cannot have been changed where it cannot even be read
    if each.key in known:
        record.values[each.key] = known[each.key]
    else:
        del record.values[each.key]


def _settle(store: Store, record: Record) -> list[Outcome]:
    """The record as things are. If it cannot be kept, the older one has all originals, too."""
    try:
        if record.empty:
            store.remove()
        else:
            store.save(record)
    except (OSError, TuningError) as error:
        text = f"{error}; the one from before the writing stays, and `--revert` works with it"
        return [Outcome(RECORD, State.FAILED, text=text)]
    return []


def _not_tried(row: Row) -> Outcome:
    return Outcome(row.key, State.NOT_TRIED, row.current, row.target, row.note)


# -- over restarts --------------------------------------------------------------------------------


def keep(
    store: Store, files: Files, rows: Sequence[Row], profile: str, failed: frozenset[str]
) -> list[Outcome]:
    """Writes the files for what is recommended or was applied, but for what has `failed`.

    Raises TuningError, ConfigurationError: nothing was changed.
    """
    record = store.load() or Record(profile)
    values, nofile = _kept_values(record, files, rows, failed)
    wanted = persist.wanted_files(files, profile, values, nofile)
    if not wanted:
        return []
    before_of_record = store.load()
    for path, data in wanted:
        try:
            persist.note(path, data, record)
        except OSError as error:
            raise TuningError(f"{path}: {error.strerror}; nothing was changed") from None
    record.complete = False
    store.save(record)
    outcomes = [_install(path, data, record) for path, data in wanted]
    for each in outcomes:
        if each.state is State.FAILED:
            _forget_file(record, before_of_record, each.key)
    record.complete = True
    return [*outcomes, *_settle(store, record)]


def _kept_values(
    record: Record, files: Files, rows: Sequence[Row], failed: frozenset[str]
) -> tuple[dict[str, str], str]:
    """(sysctls, LimitNOFILE or nothing): what differs, what was applied, what our files have."""
    ours = _text(files.sysctl) if str(files.sysctl) in record.files else ""
    values = persist.values_in(ours)
    values |= {key: each.written for key, each in record.values.items()}
    limit = persist.limit_in(_text(files.limits)) if str(files.limits) in record.files else None
    for row in rows:
        if row.status is Status.CHANGE and row.key == NOFILE:
            limit = row.target
        elif row.status is Status.CHANGE:
            values[row.key] = row.target
    known = {row.key for row in rows}
    return {k: v for k, v in values.items() if k in known - failed}, limit or ""


def _text(path: Path) -> str:
    try:
        return (persist.read(path) or b"").decode("utf-8", "replace")
    except OSError:
        return ""


def _install(path: Path, data: bytes, record: Record) -> Outcome:
    try:
        persist.install(path, data, record)
    except OSError as error:
        return Outcome(str(path), State.FAILED, text=error.strerror or str(error))
    return Outcome(str(path), State.DONE)


def _forget_file(record: Record, before: Record | None, path: str) -> None:
    if before is not None and path in before.files:
        record.files[path] = before.files[path]
    else:
        del record.files[path]


# -- back -----------------------------------------------------------------------------------------


def revert(sysctls: Sysctls, store: Store) -> list[Outcome]:
    """Puts back all that the record has; what fails stays in it. Raises ConfigurationError."""
    record = store.load()
    if record is None:
        return []
    outcomes = put_back(sysctls, record, list(record.values))
    for path, change in list(record.files.items()):
        try:
            said = persist.restore(Path(path), change)
        except OSError as error:
            outcomes.append(Outcome(path, State.FAILED, text=error.strerror or str(error)))
        else:
            del record.files[path]
            outcomes.append(Outcome(path, State.DONE, text=said))
    return [*outcomes, *_settle(store, record)]


def put_back(sysctls: Sysctls, record: Record, keys: Sequence[str]) -> list[Outcome]:
    """The originals of these keys, the last written first; they leave the record."""
    outcomes = []
    for key in reversed(keys):
        outcome = _put_back(sysctls, key, record.values[key])
        outcomes.append(outcome)
        if outcome.state is State.DONE:
            del record.values[key]
    return outcomes


def _put_back(sysctls: Sysctls, key: str, change: Change) -> Outcome:
    current = ""
    try:
        current = sysctls.text(key)
        if same(current, change.before):
            return Outcome(key, State.DONE, current, change.before, "was so already")
        made = sysctls.write(key, change.before)
    except OSError as error:
        why = error.strerror or str(error)
        return Outcome(key, State.FAILED, current, change.before, why)
    if not same(made, change.before):
        why = f"the kernel made {made!r} of {change.before!r}"
        return Outcome(key, State.FAILED, current, made, why)
    text = "" if same(current, change.written) else f"somebody had made {current!r} of it"
    return Outcome(key, State.DONE, current, change.before, text)


# -- drift ----------------------------------------------------------------------------------------


def drifted(rows: Sequence[Row], record: Record | None) -> list[Row]:
    """Rows that are neither as recommended nor as applied."""
    applied = {} if record is None else record.values
    found = []
    for row in rows:
        change = applied.get(row.key)
        if change is None:
            found += [row] if row.differs else []
        elif not same(row.current, change.written):
            note = f"was set to {change.written} by `drop tune`"
            found.append(replace(row, status=Status.CHANGE, target=change.written, note=note))
    return found


def drifted_files(record: Record | None) -> list[str]:
    """Files of ours that are gone or edited."""
    found = []
    for path, change in ({} if record is None else record.files).items():
        try:
            data = persist.read(Path(path))
        except OSError as error:
            found.append(f"{path}: cannot be read: {error.strerror}")
            continue
        if data != change.written:
            found.append(f"{path}: {'is gone' if data is None else 'was edited'}")
    return found
