"""Containers and a node that dies, and containers that only podman or docker can run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drop.images.images import Images
from node_tools import processes, until
from system.containers import (
    Store,
    groups_left,
    make_root,
    needs_containers,
    spawn,
)

pytestmark = [pytest.mark.system, needs_containers]

NODE = Path(__file__).with_name("programs") / "image_node.py"
BY_ENGINE = "--init=false --cap-drop=ALL test/drop:1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"))
    store.add("test/drop:1", make_root(tmp_path_factory.mktemp("root") / "drop"), 'CMD ["cat"]')
    yield store
    store.podman("rmi", "--all", "--force")
    shutil.rmtree(store.directory, ignore_errors=True)


@pytest.fixture
async def images(store: Store, tmp_path: Path) -> AsyncIterator[Images]:
    images = Images(tmp_path / "var", engine=store.engine)
    yield images
    await images.close()
    assert groups_left(images) == []
    assert store.containers() == []


def start_node(store: Store, var_dir: Path, text: str, marked: str) -> subprocess.Popen[bytes]:
    """One whose worker runs, with a child of its own that has the mark and ignores everything."""
    script = f"trap '' TERM; sh -c 'trap \"\" TERM; sleep 1000; :' {marked} & echo up; wait"
    command = [sys.executable, NODE, var_dir, store.engine, text, "sh", "-c", script, marked]
    node = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert node.stdout is not None
    assert node.stdout.readline() == b"up\n"
    return node


def kill(node: subprocess.Popen[bytes]) -> None:
    node.send_signal(signal.SIGKILL)
    node.communicate()


def containers_of(marked: str, node: subprocess.Popen[bytes]) -> list[int]:
    return [pid for pid in processes(marked) if pid != node.pid]


async def test_no_container_survives_a_killed_node(
    store: Store, images: Images, tmp_path: Path, marked: str
) -> None:
    node = start_node(store, tmp_path / "var", "test/drop:1", marked)
    until(lambda: len(containers_of(marked, node)) == 2)
    kill(node)
    until(lambda: not processes(marked))
    assert groups_left(images) != []
    await images.prepare("test/drop:1")
    assert groups_left(images) == []
    assert list((tmp_path / "var/images/workers").iterdir()) == []


async def test_nor_one_that_an_engine_has_started(
    store: Store, images: Images, tmp_path: Path, marked: str
) -> None:
    node = start_node(store, tmp_path / "var", BY_ENGINE, marked)
    assert len(store.containers()) == 1
    kill(node)
    until(lambda: not store.containers(), 30.0)
    until(lambda: not processes(marked))
    await images.prepare("test/drop:1")  # takes over what the node had, its control group too


async def test_what_even_its_janitor_could_not_remove_goes_at_the_next_start(
    store: Store, images: Images, tmp_path: Path, marked: str
) -> None:
    node = start_node(store, tmp_path / "var", BY_ENGINE, marked)
    (janitor,) = [pid for pid in processes(f"drop.run={images.owner}") if is_janitor(pid)]
    os.kill(janitor, signal.SIGKILL)
    kill(node)
    assert len(store.containers()) == 1
    await images.prepare("test/drop:1")
    assert store.containers() == []
    until(lambda: not processes(marked))


def is_janitor(pid: int) -> bool:
    return b"janitor.py" in command_line(pid)


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_a_worker_that_an_engine_runs(images: Images, store: Store) -> None:
    prepared = await images.prepare(BY_ENGINE)
    assert prepared.engine_reason == "the option --cap-drop"
    worker = spawn(images, prepared, SECRET="s3cret", PATH="/bin")
    for number in range(10):
        worker.write(b"%d\n" % number)
        assert worker.line() == b"%d\n" % number
    assert b"s3cret" not in command_line(worker.pid)
    worker.close_stdin()
    status, _, stderr = await worker.ended()
    assert (status.code, stderr) == (0, "")
    assert any("podman run is called with" in line for line in images.report())


async def test_it_gets_the_same_user_directory_and_variables(images: Images) -> None:
    script = "id -u; id -g; pwd; echo $SECRET; grep NoNewPrivs /proc/self/status; exit 3"
    prepared = await images.prepare(BY_ENGINE, cmd=("sh", "-c", script))
    status, stdout, _ = await spawn(images, prepared, SECRET="s3cret").ended()
    assert stdout == "1234\n1235\n/home/drop\ns3cret\nNoNewPrivs:\t1\n"
    assert status.code == 3


async def test_killing_the_engines_client_is_not_enough_and_the_rest_is_done(
    images: Images, store: Store, marked: str
) -> None:
    script = f"trap '' TERM; sh -c 'trap \"\" TERM; sleep 1000; :' {marked} & echo up; wait"
    prepared = await images.prepare(BY_ENGINE, cmd=("sh", "-c", script, marked))
    worker = spawn(images, prepared)
    assert worker.line() == b"up\n"
    worker.signal(signal.SIGKILL)
    status, _, _ = await worker.ended()
    assert status.signal == signal.SIGKILL
    assert store.containers() == []
    until(lambda: not processes(marked))


@pytest.fixture
def docker(store: Store, tmp_path: Path) -> Iterator[str]:
    """docker's own client, on the daemon's interface as podman speaks it: no daemon is needed."""
    if shutil.which("docker") is None:
        pytest.skip("not installed: docker (its client)")
    socket = tmp_path / "docker.sock"
    service = subprocess.Popen(
        [*store.engine.split(), "system", "service", "--time=0", f"unix://{socket}"]
    )
    until(socket.exists)
    yield f"docker --host unix://{socket}"
    service.terminate()
    service.wait()


async def test_docker_finds_and_unpacks_images_too(
    docker: str, store: Store, tmp_path: Path
) -> None:
    images = Images(tmp_path / "var", engine=docker)
    worker = spawn(images, await images.prepare("test/drop:1"))
    assert any(line.startswith("engine: docker") for line in images.report())
    worker.write(b"x\n")
    assert worker.line() == b"x\n"
    worker.close_stdin()
    assert (await worker.ended())[0].code == 0
    await images.close()
    assert store.containers() == []
