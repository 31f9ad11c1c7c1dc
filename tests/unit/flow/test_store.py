"""Flows that are kept: the same flow comes back, and no crash or damage passes unseen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.errors import ConfigurationError
from drop.flow.store import FlowStore, State, read_flow

FLOW = b"name: one\nfunc:\n  - name: echo\n    cmd: ./echo\n"


@pytest.fixture
def store(tmp_path: Path) -> FlowStore:
    (tmp_path / "flows").mkdir()
    return FlowStore(str(tmp_path / "flows"))


def written(tmp_path: Path) -> str:
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "any.yaml"
    file.write_bytes(FLOW)
    return str(file)


def test_a_copy_is_the_same_flow_with_its_paths_where_they_were(
    store: FlowStore, tmp_path: Path
) -> None:
    file = written(tmp_path)
    flow, data = read_flow(file)
    copy = store.save(flow, data)
    os.unlink(file)
    assert copy == store.directory / "one.yaml"
    assert store.files() == [copy]
    assert copy.read_bytes() == FLOW
    loaded = store.load(copy)
    assert loaded.spec == flow.spec
    assert loaded.directory == str(tmp_path / "mine")
    assert store.state(copy) == State(file, str(tmp_path / "mine"), stopped=False)


def test_stopping_is_remembered(store: FlowStore, tmp_path: Path) -> None:
    copy = store.save(*read_flow(written(tmp_path)))
    store.set_stopped(copy, True)
    assert store.state(copy).stopped
    assert store.load(copy).directory == str(tmp_path / "mine")
    store.set_stopped(copy, False)
    assert not store.state(copy).stopped


def test_a_file_that_a_person_put_there(store: FlowStore) -> None:
    file = store.directory / "theirs.yml"
    file.write_bytes(FLOW)
    assert store.files() == [file]
    assert store.load(file).directory == str(store.directory)
    store.set_stopped(file, True)
    assert store.state(file) == State(stopped=True)
    assert store.load(file).directory == str(store.directory)


def test_what_is_no_flow_is_left_alone(store: FlowStore) -> None:
    for name in (".one.yaml", "one.yaml.state", "README", "one.yaml~", "tmpabc"):
        (store.directory / name).write_bytes(FLOW)
    assert store.files() == []


def test_a_damaged_state_is_an_error_with_its_file(store: FlowStore, tmp_path: Path) -> None:
    copy = store.save(*read_flow(written(tmp_path)))
    state = copy.with_name("one.yaml.state")
    for damage in (b"", b"[]", b"{}", b'{"file": 1}', b"\xff"):
        state.write_bytes(damage)
        with pytest.raises(ConfigurationError) as told:
            store.load(copy)
        assert str(told.value).startswith(str(state))


def test_a_failed_write_leaves_nothing_behind(
    store: FlowStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    flow, data = read_flow(written(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save(flow, data)
    assert list(store.directory.iterdir()) == []


def test_a_flow_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_flow(str(tmp_path / "missing.yaml"))
    os.mkfifo(tmp_path / "pipe.yaml")  # must not wait for a writer
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_flow(str(tmp_path / "pipe.yaml"))
