"""`drop secret` with a node that answers, with one that is at rest, and at a terminal."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drop.cli import secret
from drop.cli.errors import CommandError, UsageError
from drop.secrets.credentials import Credentials
from drop.secrets.operations import SecretOperations
from drop.secrets.provision import Provision, Wants
from drop.secrets.store import SecretStore
from drop.secrets.value import SECRET_BYTES_MAX, Secret, SecretError
from drop.testing.reference import Frame, Type, answer, split_request
from drop.testing.server import Line, Peer, PeerThread

Capture = pytest.CaptureFixture[str]
Stdin = Callable[[bytes], None]


class Node:
    """Answers `$control` with the operations of a real node."""

    def __init__(self, directory: Path) -> None:
        self.store = SecretStore(str(directory))
        credentials = Credentials(str(directory), [str(directory / "run")])
        self.provision = Provision(self.store, credentials, lambda text: None)
        self.operations = SecretOperations(
            self.store, self.provision, lambda: ["shop"], lambda pool: None, lambda *a, **k: None
        )

    def answer(self, line: Line, frame: Frame) -> None:
        if frame.type != Type.CALL:
            line.peer.echo(line, frame)
            return
        request: dict[str, Any] = json.loads(split_request(frame)[2])
        operation = getattr(self.operations, request["op"].partition(".")[2])
        try:
            reply = {"ok": True, **operation(request)}
        except SecretError as error:
            reply = {"ok": False, "kind": error.kind, "error": str(error)}
        line.send(answer(frame.id, json.dumps(reply).encode()))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node that runs, and is where commands look."""
    node = Node(tmp_path)
    with PeerThread(lambda: Peer(answer=node.answer)) as thread:
        monkeypatch.setenv("DROP_ADDRESS", thread.peer.address)
        yield node


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretStore:
    """The store of a node that does not run."""
    monkeypatch.delenv("DROP_ADDRESS", raising=False)
    return SecretStore(str(tmp_path))


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "raw", "value"),
    [
        (b"hunter2\n", False, b"hunter2"),
        (b"hunter2\n", True, b"hunter2\n"),
        (b"hunter2\n\n", False, b"hunter2\n"),
        (b"\x00\xff", False, b"\x00\xff"),
        (b"x" * SECRET_BYTES_MAX + b"\n", False, b"x" * SECRET_BYTES_MAX),
    ],
)
def test_the_value_on_stdin(
    node: Node, stdin: Stdin, capsys: Capture, data: bytes, raw: bool, value: bytes
) -> None:
    stdin(data)
    assert secret.secret_set(name="A", raw=raw) == 0
    assert node.store.get("A") == Secret(value)
    assert capsys.readouterr().out == f"secret A set ({len(value)} bytes)\n"


def test_the_value_in_a_file_is_taken_byte_for_byte(
    node: Node, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "key").write_bytes(b"hunter2\n")
    assert secret.secret_set(name="A", file=tmp_path / "key", json=True) == 0
    assert node.store.get("A") == Secret(b"hunter2\n")
    reply = json.loads(capsys.readouterr().out)
    assert (reply["size"], reply["changed"]) == (8, True)
    with pytest.raises(UsageError, match="absent: No such file"):
        secret.secret_set(name="A", file=tmp_path / "absent")


@pytest.mark.parametrize(
    ("data", "word"), [(b"", "empty"), (b"\n", "empty"), (b"x" * (2 * SECRET_BYTES_MAX), "large")]
)
def test_values_that_are_refused(node: Node, stdin: Stdin, data: bytes, word: str) -> None:
    stdin(data)
    with pytest.raises(CommandError, match=word) as told:
        secret.secret_set(name="A")
    assert told.value.code == 2
    assert node.store.get("A") is None


def test_a_value_on_the_command_line_is_refused_and_not_repeated(node: Node, stdin: Stdin) -> None:
    stdin(b"x")
    with pytest.raises(UsageError, match="can be read by every user") as told:
        secret.secret_set(name="A", value="hunter2")
    assert "hunter2" not in str(told.value)
    with pytest.raises(CommandError, match="no valid name") as refused:
        secret.secret_set(name="A=hunter2")
    assert "hunter2" not in str(refused.value)
    assert node.store.entries() == []


def test_workers_that_are_replaced_are_named(node: Node, stdin: Stdin, capsys: Capture) -> None:
    node.store.set("A", Secret(b"old"))
    node.provision.for_worker("shop", 1, Wants(("A",)))
    stdin(b"new")
    secret.secret_set(name="A")
    assert "workers are replaced in turn: shop\n" in capsys.readouterr().out
    stdin(b"new")
    secret.secret_set(name="A")
    assert "secret A is the same as before" in capsys.readouterr().out


def test_the_list(node: Node, capsys: Capture) -> None:
    assert secret.secret_list() == 0
    assert "`drop secret set NAME`" in capsys.readouterr().err
    node.store.set("A", Secret(b"hunter2"))
    node.provision.for_worker("shop", 1, Wants(("A",)))
    os.utime(Path(node.store.directory, "A"), (0, 0))
    assert secret.secret_list() == 0
    assert capsys.readouterr().out.splitlines() == [
        "secret  bytes  changed               used by",
        "A       7      1970-01-01T00:00:00Z  shop",
    ]
    assert secret.secret_list(json=True) == 0
    document = capsys.readouterr().out
    assert json.loads(document)["secrets"][0]["used_by"] == ["shop"]
    assert "hunter2" not in document


def test_the_list_tells_what_is_missing(node: Node, capsys: Capture) -> None:
    with pytest.raises(Exception, match="not set"):
        node.provision.for_worker("shop", 1, Wants(("A",)))
    assert secret.secret_list() == 0
    assert "A is not set, and shop cannot start without it" in capsys.readouterr().err


def test_removing(node: Node, capsys: Capture) -> None:
    node.store.set("A", Secret(b"hunter2"))
    node.provision.for_worker("shop", 1, Wants(("A",)))
    with pytest.raises(CommandError, match="is used by shop") as told:
        secret.secret_remove(name="A")
    assert (told.value.kind, told.value.code) == ("conflict", 2)
    assert secret.secret_remove(name="A", force=True) == 0
    assert capsys.readouterr().out == "secret A removed\n"
    with pytest.raises(CommandError, match="there is no secret A") as absent:
        secret.secret_remove(name="A")
    assert absent.value.kind == "not_found"


def test_rotating(node: Node, capsys: Capture) -> None:
    assert secret.secret_rotate() == 0
    assert capsys.readouterr().out == "every worker has what there is\n"
    node.store.set("A", Secret(b"1"))
    node.provision.for_worker("shop", 1, Wants(("A",)))
    node.store.set("A", Secret(b"2"))  # somebody else's doing
    assert secret.secret_rotate() == 0
    assert "replaced in turn: shop" in capsys.readouterr().out
    node.store.remove("A")
    assert secret.secret_rotate() == 1
    assert "shop is left as it is: the secret A is not set" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["192.0.2.1:8085", "node-7:8085", "[2001:db8::1]:8085"])
def test_a_value_does_not_leave_the_machine(stdin: Stdin, address: str) -> None:
    stdin(b"hunter2")
    with pytest.raises(UsageError, match=r"is another machine, .* not encrypted"):
        secret.secret_set(name="A", address=address)


# --- without a node ---


def test_without_a_node(store: SecretStore, tmp_path: Path, stdin: Stdin, capsys: Capture) -> None:
    stdin(b"hunter2\n")
    assert secret.secret_set(name="A", var_dir=tmp_path) == 0
    assert store.get("A") == Secret(b"hunter2")
    assert secret.secret_list(var_dir=tmp_path) == 0
    assert "\nA       7      " in capsys.readouterr().out
    assert secret.secret_remove(name="A", var_dir=tmp_path) == 0
    assert store.entries() == []
    assert os.listdir(tmp_path) == ["secrets"]


def test_the_directory_of_the_configuration(
    store: SecretStore, tmp_path: Path, stdin: Stdin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DROP_VAR_DIR", str(tmp_path))
    with socket.socket() as free:  # bound and not listening: nobody answers there
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setattr(secret, "default_address", lambda: where)
        stdin(b"hunter2")
        assert secret.secret_set(name="A") == 0
    assert store.get("A") == Secret(b"hunter2")


def test_a_node_that_runs_and_is_not_found(
    store: SecretStore, tmp_path: Path, stdin: Stdin
) -> None:
    """Its workers would go on with the old value, and nobody would know."""
    stdin(b"x")
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="name it by --address"):
            secret.secret_set(name="A", var_dir=tmp_path)
    assert store.entries() == []
    stdin(b"x")
    assert secret.secret_set(name="A", var_dir=tmp_path) == 0  # that node has ended


def test_a_directory_that_is_not_there(store: SecretStore, tmp_path: Path, stdin: Stdin) -> None:
    stdin(b"x")
    with pytest.raises(CommandError, match=r"absent is not there: .*--var-dir"):
        secret.secret_set(name="A", var_dir=tmp_path / "absent")


def test_a_damaged_store_is_told(store: SecretStore, tmp_path: Path, stdin: Stdin) -> None:
    store.set("A", Secret(b"x"))
    os.chmod(store.directory, 0o755)
    with pytest.raises(CommandError, match="chmod 700") as told:
        secret.secret_list(var_dir=tmp_path)
    assert (told.value.kind, told.value.code) == ("storage", 1)


# --- at a terminal ---


SET = """
import sys
from pathlib import Path
from drop.cli.secret import secret_set
try:
    secret_set(name="A", var_dir=Path(sys.argv[1]))
except Exception as error:
    print("refused:", error)
"""


def at_terminal(directory: Path, *typed: bytes) -> str:
    """What the terminal shows while `drop secret set` runs and this is typed at its prompts."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", SET, str(directory)])
    shown = b""
    left = list(typed)
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        shown += piece
        if left and piece.endswith(b": "):
            os.write(terminal, left.pop(0))
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode()


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_prompt_without_echo(store: SecretStore, tmp_path: Path) -> None:
    shown = at_terminal(tmp_path, b"hunter2\n", b"hunter2\n")
    assert "A: " in shown
    assert "once more" in shown
    assert "hunter2" not in shown
    assert "secret A set (7 bytes)" in shown
    assert store.get("A") == Secret(b"hunter2")


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("typed", "text"),
    [((b"hunter2\n", b"hunter3\n"), "the two values differ"), ((b"\x04",), "no value was given")],
)
def test_a_prompt_that_comes_to_nothing(
    store: SecretStore, tmp_path: Path, typed: tuple[bytes, ...], text: str
) -> None:
    shown = at_terminal(tmp_path, *typed)
    assert text in shown
    assert "hunter" not in shown
    assert store.entries() == []
