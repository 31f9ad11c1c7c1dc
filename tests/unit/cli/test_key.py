"""`drop key` on the key file of a node, with one that runs and without."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drop.cli import key
from drop.cli.errors import CommandError, UsageError
from drop.cluster import keys
from drop.testing.reference import Frame, Type, answer, split_request
from drop.testing.server import Line, Peer, PeerThread

Capture = pytest.CaptureFixture[str]

OLD, NEW = (bytes([number]) * 32 for number in (1, 2))
OLD_PRINT, NEW_PRINT = keys.fingerprint(OLD), keys.fingerprint(NEW)
RELOADED: dict[str, Any] = {"ok": True, "keys": 1}


class Node:
    """Answers `$control` with `reply`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.reply = RELOADED
        self.asked: list[str] = []

    def answer(self, line: Line, frame: Frame) -> None:
        if frame.type != Type.CALL:
            line.peer.echo(line, frame)
            return
        self.asked.append(json.loads(split_request(frame)[2])["op"])
        line.send(answer(frame.id, json.dumps(self.reply).encode()))


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of this user's node."""
    for name in list(os.environ):
        if name.startswith("DROP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DROP_VAR_DIR", str(tmp_path / "var"))
    return tmp_path / "var"


@pytest.fixture
def node() -> Iterator[tuple[Node, str]]:
    node = Node()
    with PeerThread(lambda: Peer(answer=node.answer)) as thread:
        yield node, thread.peer.address


def given(var: Path, *values: bytes) -> Path:
    var.mkdir(exist_ok=True)
    file = var / "key"
    file.write_bytes(keys.dump(values))
    file.chmod(0o600)
    return file


def file_with(path: Path, *values: bytes) -> str:
    path.write_bytes(keys.dump(values))
    path.chmod(0o600)
    return str(path)


def test_generating_the_nodes_key(var: Path, capsys: Capture) -> None:
    assert key.key_generate() == 0
    (made,) = keys.load(str(var / "key"))
    assert stat.S_IMODE((var / "key").stat().st_mode) == 0o600
    out = capsys.readouterr().out
    assert f"key {keys.fingerprint(made)} written to {var}/key\n" in out
    assert "no node was told; one that uses" in out
    assert keys.dump([made]).split()[1].decode() not in out
    with pytest.raises(CommandError, match="is there already") as refused:
        key.key_generate()
    assert (refused.value.kind, refused.value.code) == ("bad_key", 2)
    assert keys.load(str(var / "key")) == (made,)


def test_generating_elsewhere_leaves_the_node_alone(
    var: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert key.key_generate(output=tmp_path / "new", json=True) == 0
    (made,) = keys.load(str(tmp_path / "new"))
    assert json.loads(capsys.readouterr().out) == {
        "fingerprint": keys.fingerprint(made),
        "file": str(tmp_path / "new"),
    }
    assert not var.exists()


def test_generating_to_stdout_prints_the_key_and_nothing_else(var: Path, capsys: Capture) -> None:
    assert key.key_generate(output=Path("-")) == 0
    printed = capsys.readouterr()
    assert len(keys.parse(printed.out.encode(), "stdout")) == 1
    assert printed.err == ""
    assert key.key_generate(output=Path("-"), json=True) == 0
    document = json.loads(capsys.readouterr().out)
    (made,) = keys.parse(document["key"].encode(), "stdout")
    assert keys.fingerprint(made) == document["fingerprint"]
    assert not var.exists()


def test_the_exchange_of_a_key(var: Path, tmp_path: Path, capsys: Capture) -> None:
    old, new = file_with(tmp_path / "old", OLD), file_with(tmp_path / "new", NEW)
    assert key.key_install(source=old) == 0
    assert f"key {OLD_PRINT} is this node's key\n" in capsys.readouterr().out
    assert key.key_install(source=old) == 0
    assert capsys.readouterr().out == f"key {OLD_PRINT} is here already\n"
    assert key.key_install(source=new) == 0
    assert f"key {NEW_PRINT} is accepted from now on; {OLD_PRINT} signs" in capsys.readouterr().out
    assert key.key_rotate() == 0
    assert f"key {NEW_PRINT} signs from now on; {OLD_PRINT} is" in capsys.readouterr().out
    assert key.key_rotate(finish=True) == 0
    assert f"key {OLD_PRINT} is no longer accepted" in capsys.readouterr().out
    assert key.key_rotate(finish=True) == 0
    assert capsys.readouterr().out == (
        f"key {NEW_PRINT} is the only one; there is nothing to finish\n"
    )
    assert keys.load(str(var / "key")) == (NEW,)
    with pytest.raises(CommandError, match="one key only"):
        key.key_rotate()


@pytest.mark.parametrize("finish", [False, True])
def test_exchanging_a_key_that_is_not_there(var: Path, finish: bool) -> None:
    with pytest.raises(CommandError, match="no key to exchange.*`drop key generate` makes one"):
        key.key_rotate(finish=finish)


def test_installing_from_stdin(var: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(keys.dump([OLD]))))
    assert key.key_install(source="-", json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["installed"] == "first"
    assert document["told"] is False
    assert keys.load(str(var / "key")) == (OLD,)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hunter2\n")))
    with pytest.raises(CommandError, match="stdin:1: is no key") as refused:
        key.key_install(source="-")
    assert "hunter2" not in str(refused.value)


def test_what_is_not_installed(var: Path, tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(UsageError, match="absent: No such file"):
        key.key_install(source=str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="holds 2 keys"):
        key.key_install(source=file_with(tmp_path / "two", OLD, NEW))
    assert not var.exists()
    open_to_all = file_with(tmp_path / "open", OLD)
    os.chmod(open_to_all, 0o644)
    assert key.key_install(source=open_to_all) == 0
    assert f"warning: others can read {open_to_all}" in capsys.readouterr().err


def test_showing_fingerprints(var: Path, capsys: Capture) -> None:
    assert key.key_show() == 0
    assert f"no key in {var}/key: `drop key generate`" in capsys.readouterr().err
    given(var, OLD, NEW)
    assert key.key_show() == 0
    assert capsys.readouterr().out == (
        f"{OLD_PRINT}  signs, and is accepted\n{NEW_PRINT}  is accepted\n"
    )
    assert key.key_show(json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(var / "key"),
        "signs": OLD_PRINT,
        "accepted": [OLD_PRINT, NEW_PRINT],
    }
    (var / "key").chmod(0o644)
    with pytest.raises(CommandError, match="has the mode 0644"):
        key.key_show()


def test_a_directory_that_is_named(var: Path, tmp_path: Path) -> None:
    assert key.key_generate(var_dir=tmp_path / "other") == 0
    assert len(keys.load(str(tmp_path / "other/key"))) == 1
    assert not var.exists()
    (tmp_path / "nowhere").symlink_to("absent")
    with pytest.raises(CommandError, match=r"nowhere: cannot be made: .*--var-dir DIRECTORY"):
        key.key_generate(var_dir=tmp_path / "nowhere")


# --- the node ---


def test_a_node_that_runs_is_told(
    var: Path, node: tuple[Node, str], tmp_path: Path, capsys: Capture
) -> None:
    told, address = node
    key.key_generate(address=address)
    assert "no node was told" not in capsys.readouterr().out
    key.key_install(source=file_with(tmp_path / "new", NEW), address=address)
    key.key_rotate(address=address)
    key.key_rotate(finish=True, address=address, json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["told"] is True
    assert told.asked == ["node.reload_keys"] * 4
    key.key_generate(output=tmp_path / "elsewhere", address=address)
    key.key_rotate(finish=True, address=address)
    assert len(told.asked) == 4  # nothing has changed for it


def test_a_node_that_knows_no_such_request(
    var: Path, node: tuple[Node, str], capsys: Capture
) -> None:
    node[0].reply = {"ok": False, "kind": "bad_request", "error": "found op"}
    assert key.key_generate(address=node[1]) == 0
    out = capsys.readouterr().out
    assert f"no node was told; one that uses {var}/key reads it within a second" in out


def test_a_node_that_cannot_use_it(var: Path, node: tuple[Node, str], capsys: Capture) -> None:
    node[0].reply = {"ok": False, "kind": "bad_key", "error": "cannot be read"}
    assert key.key_generate(address=node[1]) == 0
    assert "warning: the node does not take it: cannot be read" in capsys.readouterr().err
