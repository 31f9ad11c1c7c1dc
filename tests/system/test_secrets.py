"""Secrets and env_files on a real node: who sees them, who does not, and how they change."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drop.client import Client
from drop.errors import NoWorker
from node_tools import ECHO, StartNode, alive, flow, info, pids, processes, shell, until
from running_node import RunningNode

pytestmark = pytest.mark.system

VALUE = "hunter2-correct-horse"
# Answers with the secret and the variables that it is asked for: `secret NAME`, `variable NAME`.
TELL = """
while read what name; do
    case $what in
        secret) cat "$CREDENTIALS_DIRECTORY/$name" && echo ;;
        variable) eval echo "\\$$name" ;;
        mode) stat -c %a:%u "$CREDENTIALS_DIRECTORY/$name" ;;
        pid) echo $$ ;;
    esac
done
"""


def drop(node: RunningNode, *words: str, value: str = "") -> subprocess.CompletedProcess[str]:
    """The command, with the value on its stdin."""
    return subprocess.run(
        [sys.executable, "-m", "drop.cli.main", *words],
        env={**os.environ, "DROP_ADDRESS": node.socket_address},
        input=value,
        capture_output=True,
        text=True,
        check=False,
    )


def set_(node: RunningNode, name: str, value: str) -> None:
    done = drop(node, "secret", "set", name, value=value)
    assert done.returncode == 0, done.stderr


def teller(**keys: object) -> str:
    return flow("teller", shell("teller", TELL, **keys))


def places_of(value: str) -> list[str]:
    """Where a value can be seen from outside: command lines, environments, logs."""
    found = []
    for entry in Path("/proc").iterdir():
        for name in ("cmdline", "environ"):
            try:
                if value.encode() in (entry / name).read_bytes():
                    found.append(str(entry / name))
            except OSError:
                continue
    return found


def test_a_worker_reads_its_secret_and_nothing_else_has_it(start_node: StartNode) -> None:
    node = start_node(teller(secrets=["PASSWORD"]), ECHO)
    with Client(node.socket_address) as client:
        with pytest.raises(NoWorker) as told:
            client.call("teller", b"pid")
        assert "flow-0.yaml:3" in str(told.value)
        assert "the secret PASSWORD is not set on this node: `drop secret set PASSWORD`" in str(
            told.value
        )
        assert client.call("echo", b"x") == b"x"
        set_(node, "PASSWORD", VALUE)
        assert until(lambda: asked(client, b"secret PASSWORD")) == VALUE.encode()
        assert client.call("teller", b"mode PASSWORD") == b"400:%d" % os.geteuid()
        said = [drop(node, "secret", "list").stdout, drop(node, "secret", "list", "--json").stdout]
        said += [drop(node, "flow", "info", "teller", "--json").stdout, node.output]
        said += [repr(client.control("worker.list")), repr(client.control("node.info"))]
        assert "teller" in said[0]
        assert "secret_set secret=PASSWORD" in node.output
        for text in said:
            assert VALUE not in text
        assert places_of(VALUE) == []
        directory = Path(client.call("teller", b"variable CREDENTIALS_DIRECTORY").decode())
    node.finish()
    assert not directory.exists()


def asked(client: Client, message: bytes) -> bytes | None:
    """The answer; None while there is no worker."""
    try:
        return client.call("teller", message)
    except NoWorker:
        return None


def test_a_new_value_replaces_the_workers_and_no_call_is_lost(start_node: StartNode) -> None:
    node = start_node(teller(secrets=["PASSWORD"], num=2), ECHO)
    set_(node, "PASSWORD", "old")
    lost: list[BaseException] = []
    seen: set[bytes] = set()
    enough = threading.Event()

    def call() -> None:
        try:
            with Client(node.socket_address) as client:
                while not enough.is_set():
                    seen.add(client.call("teller", b"secret PASSWORD"))
        except BaseException as error:
            lost.append(error)

    with Client(node.socket_address) as client:
        until(lambda: asked(client, b"pid"))
        before, others = set(pids(client)), client.call("echo", b"x")
        caller = threading.Thread(target=call)
        caller.start()
        until(lambda: b"old" in seen)
        set_(node, "PASSWORD", "new")
        workers = client.control("worker.list")["workers"]
        echo = {each["pid"] for each in workers if each["pool"] == "echo"}
        until(lambda: set(pids(client)) & before == echo)
        until(lambda: b"new" in seen or lost)
        enough.set()
        caller.join()
        assert lost == []
        assert seen == {b"old", b"new"}
        assert {client.call("teller", b"secret PASSWORD") for _ in range(20)} == {b"new"}
        assert others == client.call("echo", b"x")


def test_the_variables_of_files_and_their_change(start_node: StartNode, tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text("# the shop's\nCOLOUR='deep red'\nSIZE=1\n")
    node = start_node(teller(env_file=str(file), env={"SIZE": "2"}))
    with Client(node.socket_address) as client:
        assert client.call("teller", b"variable COLOUR") == b"deep red"
        assert client.call("teller", b"variable SIZE") == b"2"
        file.write_text(f"COLOUR {VALUE}\n")
        done = drop(node, "secret", "rotate")
        assert f"teller is left as it is: {file}:1: the line has no =" in done.stderr
        assert client.call("teller", b"variable COLOUR") == b"deep red"
        file.write_text("COLOUR=blue\n")
        assert "replaced in turn: teller" in drop(node, "secret", "rotate").stdout
        until(lambda: client.call("teller", b"variable COLOUR") == b"blue")
        file.write_text("COLOUR=green\n")
        os.kill(node.process.pid, 1)  # SIGHUP
        until(lambda: client.call("teller", b"variable COLOUR") == b"green")
    assert VALUE not in node.output + done.stderr


def test_an_env_file_with_a_fault_keeps_the_function_from_starting(
    start_node: StartNode, tmp_path: Path
) -> None:
    file = tmp_path / "shop.env"
    file.write_text("A=1\nA=2\n")
    node = start_node(teller(env_file=[str(file)]), ECHO)
    with Client(node.socket_address) as client:
        with pytest.raises(NoWorker, match=r"shop\.env:2: A: line 1 has this name already"):
            client.call("teller", b"pid")
        assert "shop.env:2" in info(client, "teller")["pools"][0]["last_error"]
        assert client.call("echo", b"x") == b"x"


def test_what_is_used_is_not_removed_by_mistake(start_node: StartNode) -> None:
    node = start_node(teller(secrets=["A"]))
    set_(node, "A", VALUE)
    with Client(node.socket_address) as client:
        until(lambda: asked(client, b"pid"))
        done = drop(node, "secret", "remove", "A")
        assert (done.returncode, "A is used by teller" in done.stderr) == (2, True)
        assert drop(node, "secret", "remove", "A", "--force").returncode == 0
        assert client.call("teller", b"secret A") == VALUE.encode()  # it has what it had


def test_a_killed_node_leaves_nothing_behind_once_it_runs_again(start_node: StartNode) -> None:
    node = start_node(teller(secrets=["A"]))
    set_(node, "A", VALUE)
    with Client(node.socket_address) as client:
        pid = int(until(lambda: asked(client, b"pid")))
        directory = Path(client.call("teller", b"variable CREDENTIALS_DIRECTORY").decode())
    node.process.kill()
    node.process.wait()
    until(lambda: not alive(pid))
    assert (directory / "A").exists()
    node.start()
    with Client(node.socket_address) as client:
        assert client.call("teller", b"secret A") == VALUE.encode()
        again = Path(client.call("teller", b"variable CREDENTIALS_DIRECTORY").decode())
        assert len(list(again.parent.iterdir())) == 1
    node.finish()
    assert not again.parent.exists()


def test_a_secret_that_is_set_before_the_node_runs(start_node: StartNode, var_dir: Path) -> None:
    (var_dir / "node-0").mkdir(mode=0o750)
    command = [sys.executable, "-m", "drop.cli.main", "secret", "set", "A", "--json"]
    done = subprocess.run(
        [*command, "--var-dir", str(var_dir / "node-0")],
        input=VALUE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert VALUE not in done.stdout
    node = start_node(teller(secrets=["A"]))
    with Client(node.socket_address) as client:
        assert client.call("teller", b"secret A") == VALUE.encode()
    assert processes(VALUE) == []
