"""A real node whose functions are in images: started, limited, given secrets, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drop.client import Client
from drop.errors import DropError, FunctionError
from node_tools import StartNode, flow, groups_of, info, processes, refused, until
from running_node import RunningNode
from system.containers import Store, make_root, needs_containers

pytestmark = [pytest.mark.system, needs_containers]

IMAGE = "test/node:1"
UPPER = "while read -r m; do echo got $m; done"
SECONDS = 60.0  # the first use of an image unpacks it


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("root") / "drop")


@pytest.fixture
def store(var_dir: Path) -> Iterator[Store]:
    store = Store(var_dir / "s")  # podman wants its paths short
    store.directory.mkdir()
    yield store
    store.podman("rmi", "--all", "--force")
    shutil.rmtree(store.directory, ignore_errors=True)


@pytest.fixture
def start(start_node: StartNode, store: Store) -> Callable[..., RunningNode]:
    """Starts nodes for which `podman` is one with that store."""
    podman = shutil.which("podman")
    wrapper = store.directory / "bin" / "podman"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {podman}{store.engine.removeprefix("podman")} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    return lambda *flows: start_node(*flows, PATH=path, DROP_IMAGES_ENGINE="podman")


def shell(name: str, script: str, **keys: object) -> dict[str, object]:
    return {"name": name, "image": IMAGE, "cmd": ["sh", "-c", script], **keys}


def called(client: Client, pool: str, message: bytes) -> Any:
    return until(lambda: not refused(client, pool) and client.call(pool, message), SECONDS)


def test_calls_secrets_memory_and_the_end(
    start: Callable[..., RunningNode], store: Store, root: Path, marked: str
) -> None:
    store.add(IMAGE, root)
    fill = "a=x; while :; do a=$a$a; done"
    tell = "while read m; do cat $CREDENTIALS_DIRECTORY/K; echo; done"
    node = start(
        flow(
            "f",
            shell("p", UPPER, num=2),
            shell("told", tell, secrets=["K"]),
            shell("full", f"read m; {fill}", memory=24),
            shell("held", f": {marked}; cat"),
        )
    )
    with Client(node.socket_address) as client:
        assert called(client, "p", b"x") == b"got x"
        assert "K" in until(lambda: refused(client, "told"))
        assert client.control("secret.set", name="K", value_base64="b25l")["ok"]
        assert called(client, "told", b"x") == b"one"
        with pytest.raises(FunctionError, match="out of memory, limit 24 MiB"):
            client.call("full", b"x", timeout=30.0)
        assert called(client, "held", b"x") == b"x"
        assert client.control("node.info")["images"]
        groups = groups_of(client)
    assert node.stop() == 0
    assert processes(marked) == []
    assert groups() == set()


def test_a_process_in_an_image_for_each_message(
    start: Callable[..., RunningNode], store: Store, root: Path
) -> None:
    store.add(IMAGE, root)
    node = start(flow("f", shell("p", "echo $(cat) from $DROP_POOL", kind="exec")))
    with Client(node.socket_address) as client:
        assert called(client, "p", b"x") == b"x from p\n"
        node.flow_files[0].write_text(
            flow("f", shell("p", "echo $(cat) anew from $DROP_POOL", kind="exec"))
        )
        assert client.control("flow.reload")["ok"]
        until(lambda: client.call("p", b"x", timeout=SECONDS) == b"x anew from p\n")


def test_an_image_that_comes_later(
    start: Callable[..., RunningNode], store: Store, root: Path
) -> None:
    node = start(flow("f", shell("p", UPPER), shell("e", "cat", kind="exec")))
    with Client(node.socket_address) as client:
        for pool in ("p", "e"):
            assert IMAGE in until(lambda pool=pool: refused(client, pool))  # type: ignore[misc]
        assert info(client, "f")["state"] == "failing"
        store.add(IMAGE, root)
        assert called(client, "p", b"x") == b"got x"
        assert called(client, "e", b"x") == b"x"


def test_another_mailbox_keeps_the_image(
    start: Callable[..., RunningNode], store: Store, root: Path
) -> None:
    """The pool is made anew while its predecessor goes."""
    store.add(IMAGE, root)
    node = start(flow("f", shell("p", UPPER)))
    with Client(node.socket_address) as client:
        assert called(client, "p", b"x") == b"got x"
        node.flow_files[0].write_text(flow("f", shell("p", UPPER, timeout=1234)))
        assert client.control("flow.reload")["ok"]
        assert client.call("p", b"y") == b"got y"


def test_a_killed_node_takes_containers_with_it(
    start: Callable[..., RunningNode], store: Store, root: Path, marked: str
) -> None:
    store.add(IMAGE, root)
    node = start(flow("f", shell("p", f": {marked}; cat; :"), shell("e", "cat", kind="exec")))
    with Client(node.socket_address) as client:
        assert called(client, "p", b"x") == b"x"
        assert called(client, "e", b"x") == b"x"
    assert processes(marked)
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()
    until(lambda: not processes(marked))
    node.start()  # which takes away what is left of the control groups
    assert node.stop() == 0


def test_a_stop_does_not_wait_for_an_image(
    start_node: StartNode, store: Store, tmp_path: Path
) -> None:
    """The engine hangs, as it does when a registry does not answer."""
    asked = tmp_path / "asked"
    hanging = store.directory / "bin" / "podman"
    hanging.parent.mkdir()
    hanging.write_text(f"#!/bin/sh\necho >> {asked}; exec sleep 1000\n")
    hanging.chmod(0o755)
    path = f"{hanging.parent}:{os.environ['PATH']}"
    node = start_node(PATH=path, DROP_IMAGES_ENGINE="podman")
    file = tmp_path / "f.yaml"
    file.write_text(flow("f", shell("p", UPPER)))
    starting = threading.Thread(target=_start_flow, args=(node, file))
    starting.start()
    until(asked.exists)
    assert node.stop() == 0
    starting.join()


def _start_flow(node: RunningNode, file: Path) -> None:
    with Client(node.socket_address) as client, contextlib.suppress(DropError):
        client.control("flow.start", file=str(file))
