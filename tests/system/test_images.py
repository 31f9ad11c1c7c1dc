"""Functions in images, for real: podman unpacks, crun and runc start, the kernel ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drop.images.container import Limits
from drop.images.faults import ImageError
from drop.images.images import Images
from drop.images.settings import Volume
from drop.workers.process import Command, launch
from node_tools import processes, until
from system.containers import (
    Store,
    Worker,
    groups_left,
    make_root,
    needs_containers,
    run,
    spawn,
)

pytestmark = [pytest.mark.system, needs_containers]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"))
    root = make_root(tmp_path_factory.mktemp("root") / "drop")
    os.mknod(root / "srv" / "disk", 0o666 | 0o060000, os.makedev(254, 0))
    store.add("test/drop:1", root, 'CMD ["cat"]', "ENV MODE=image", "WORKDIR /srv")
    bare = make_root(tmp_path_factory.mktemp("root") / "bare", drop=False)
    store.add("test/bare:1", bare)
    store.add("test/web:1", bare, "USER web", "WORKDIR /srv", 'ENTRYPOINT ["echo", "entry"]')
    yield store
    store.podman("rmi", "--all", "--force")
    shutil.rmtree(store.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    shared = Images(tmp_path_factory.mktemp("node"), engine=store.engine)
    yield shared
    asyncio.run(shared.close())


def nothing_left(images: Images, store: Store) -> None:
    assert groups_left(images) == []
    assert store.containers() == []
    assert not list(images.directory.glob("workers/*"))


@pytest.fixture
def images(shared: Images, store: Store) -> Iterator[Images]:
    """The same one for all tests: what it has found out and unpacked is kept."""
    yield shared
    nothing_left(shared, store)


@pytest.fixture
async def fresh(store: Store, tmp_path: Path) -> AsyncIterator[Images]:
    """One that knows nothing yet."""
    fresh = Images(tmp_path / "var", engine=store.engine)
    yield fresh
    nothing_left(fresh, store)
    await fresh.close()


async def test_a_worker_answers_lines_until_its_stdin_ends(images: Images) -> None:
    worker = spawn(images, await images.prepare("test/drop:1"))
    for number in range(100):
        worker.write(b"%d\n" % number)
        assert worker.line() == b"%d\n" % number
    worker.close_stdin()
    status, _, stderr = await worker.ended()
    assert (status.code, stderr) == (0, "")


async def test_it_is_the_images_user_drop_in_its_home_with_few_variables(images: Images) -> None:
    script = "id; pwd; env; touch /home/drop/mine; touch /theirs"
    env = {"DROP_POOL": "p", "MORE": "a b\nc"}
    status, stdout, stderr = await run(images, "test/drop:1", "sh", "-c", script, env=env)
    lines = stdout.splitlines()
    assert lines[0].startswith("uid=1234(drop) gid=1235(drop) groups=")
    assert {"77(more)", "1235(drop)"} == {*lines[0].rpartition("=")[2].split(",")}
    assert lines[1] == "/home/drop"
    assert {"DROP_POOL=p", "MORE=a b", "c", "MODE=image", "HOME=/home/drop"} <= {*lines[2:]}
    assert {line.partition("=")[0] for line in lines[2:] if "=" in line} == {
        *("DROP_POOL", "MORE", "MODE", "HOME", "PATH", "PWD", "SHLVL")
    }
    assert "theirs: Permission denied" in stderr
    assert status.code == 1


@pytest.mark.parametrize(
    ("text", "cmd", "said"),
    [
        ("test/bare:1", ("sh", "-c", "id; pwd"), "uid=65534 gid=65534 groups=65534\n/\n"),
        ("test/web:1", (), "entry\n"),
        ("test/web:1", ("more",), "entry more\n"),
        ("--entrypoint sh test/web:1", ("-c", "id; pwd"), "uid=33(web) gid=33 groups=33\n/srv\n"),
        ("-u root test/drop:1", ("sh", "-c", "id -u; pwd"), "0\n/home/drop\n"),
        ("-u 7:8 -w /tmp test/drop:1", ("sh", "-c", "id; pwd"), "uid=7 gid=8 groups=8\n/tmp\n"),
        ("-e MODE=option test/drop:1", ("sh", "-c", "echo $MODE"), "option\n"),
        ("-h my-host test/drop:1", ("hostname",), "my-host\n"),
        ("--tmpfs /x:size=4k test/drop:1", ("sh", "-c", "echo 1 > /x/a; cat /x/a"), "1\n"),
    ],
)
async def test_options_and_what_the_image_says(
    images: Images, text: str, cmd: tuple[str, ...], said: str
) -> None:
    status, stdout, stderr = await run(images, text, *cmd)
    assert (stdout, stderr) == (said, "")
    assert status.code == 0


async def test_volumes(images: Images, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "file").write_text("of the machine")
    script = "cat /data/file; echo of the container > /data/new"
    _, stdout, stderr = await run(images, f"-v {shared}:/data test/drop:1", "sh", "-c", script)
    assert (stdout, stderr) == ("of the machine", "")
    assert (shared / "new").read_text() == "of the container\n"
    _, _, stderr = await run(images, f"-v {shared}:/data:ro test/drop:1", "touch", "/data/b")
    assert "Read-only file system" in stderr
    with pytest.raises(ImageError, match="no /nowhere on this machine"):
        await images.prepare("-v /nowhere:/data test/drop:1")


async def test_a_volume_for_one_worker_alone(images: Images, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    tmp_path.chmod(0o755)
    prepared = await images.prepare("test/drop:1", cmd=("cat", "/run/secrets/secret"))
    volume = Volume(str(tmp_path), "/run/secrets", read_only=True)
    for volumes, said in (([volume], "s3cret"), ([], "")):
        start = images.start(prepared, {}, volumes)
        worker = Worker(images, start, launch(Command(start.argv, None, start.environment)))
        assert (await worker.ended())[1] == said


async def test_a_read_only_container_writes_to_tmp_alone(images: Images) -> None:
    script = "touch /tmp/a && touch /home/drop/b"
    _, _, stderr = await run(images, "--read-only test/drop:1", "sh", "-c", script)
    assert "home/drop/b: Read-only file system" in stderr
    assert "/tmp/a" not in stderr


async def test_what_it_writes_is_its_own_and_bounded(images: Images) -> None:
    """Not another worker's, and not the bundle's; a full one says so and harms nobody."""
    write = "echo x > /home/drop/x; ls /home/drop; dd if=/dev/zero of=/home/drop/big bs=1M"
    prepared = await images.prepare(
        "test/drop:1", cmd=("sh", "-c", write), limits=Limits(memory_mib=None)
    )
    worker = spawn(images, prepared)
    _, stdout, stderr = await worker.ended()
    assert stdout == "x\n"
    assert "No space left" in stderr
    _, stdout, _ = await run(images, "test/drop:1", "ls", "/home/drop")
    assert stdout == ""
    assert not list(images.directory.glob("bundles/*/rootfs/home/drop/*"))


async def test_it_cannot_do_what_root_of_the_machine_can(images: Images) -> None:
    """As its root: no devices, no mounts, no kernel's settings, no new privileges."""
    script = """
        grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status
        mount -t tmpfs x /tmp
        echo 1 > /proc/sys/kernel/panic
        head -c 1 /srv/disk
        ls /dev
    """
    _, stdout, stderr = await run(images, "-u root test/drop:1", "sh", "-c", script)
    assert "NoNewPrivs:\t1" in stdout
    assert "CapEff:\t00000000800405fb" in stdout
    assert "permission denied" in stderr
    assert "panic: Read-only file system" in stderr
    assert "srv/disk: No such file" in stderr
    assert not {"vda", "sda", "mem", "kmsg"} & {*stdout.split()}


@pytest.mark.skipif(
    not Path("/usr/share/containers/seccomp.json").exists(), reason="no containers-common"
)
async def test_system_calls_are_filtered(images: Images) -> None:
    for user in ("root", "drop"):
        script = ("grep", "Seccomp:", "/proc/self/status")
        _, stdout, _ = await run(images, f"-u {user} test/drop:1", *script)
        assert stdout == "Seccomp:\t2\n"


async def test_the_network_is_its_own_or_the_machines(images: Images) -> None:
    count = ("sh", "-c", "ls /sys/class/net; cat /proc/net/dev | wc -l")
    _, own, _ = await run(images, "test/drop:1", *count)
    _, machines, _ = await run(images, "--network host test/drop:1", *count)
    assert own == "lo\n3\n"
    assert {*machines.split()[:-1]} == {*os.listdir("/sys/class/net")}


async def test_killing_its_group_ends_the_container(images: Images, marked: str) -> None:
    """Also what has left the group, and what goes on without stdin and stdout."""
    script = f"sh -c 'sleep 1000; :' {marked} < /dev/null & echo up; sleep 1000; :"
    worker = spawn(images, await images.prepare("test/drop:1", cmd=("sh", "-c", script, marked)))
    assert worker.line() == b"up\n"
    until(lambda: len(processes(marked)) == 2)
    worker.signal(signal.SIGKILL)
    status, _, _ = await worker.ended()
    assert status.signal == signal.SIGKILL
    until(lambda: not processes(marked))


async def test_a_program_that_does_not_handle_sigterm_dies_of_it(images: Images) -> None:
    """Though the kernel protects the first process of a namespace from such signals."""
    worker = spawn(
        images, await images.prepare("test/drop:1", cmd=("sh", "-c", "echo up; sleep 1000"))
    )
    assert worker.line() == b"up\n"
    worker.signal(signal.SIGTERM)
    status, _, _ = await worker.ended()
    assert status.signal == signal.SIGTERM


@pytest.mark.parametrize("shell", ["trap 'echo got; exit 7' TERM", "trap '' TERM; echo got"])
async def test_a_program_that_handles_or_ignores_sigterm_goes_on(
    images: Images, shell: str
) -> None:
    script = f"{shell}; echo up; while read line; do echo $line; done; exit 7"
    worker = spawn(images, await images.prepare("test/drop:1", cmd=("sh", "-c", script)))
    while worker.line() != b"up\n":
        pass
    worker.signal(signal.SIGTERM)
    if shell.startswith("trap ''"):
        worker.write(b"still here\n")
        assert worker.line() == b"still here\n"
        worker.close_stdin()
    else:
        worker.close_stdin()
    status, stdout, _ = await worker.ended()
    assert status.code == 7
    assert stdout in ("got\n", "")


async def test_exit_codes_and_signals_of_the_program(images: Images) -> None:
    status, _, _ = await run(images, "test/drop:1", "sh", "-c", "exit 3")
    assert status.code == 3
    status, _, _ = await run(images, "test/drop:1", "sh", "-c", "sh -c 'kill -SEGV $$'; exit $?")
    assert status.code == 139
    status, _, stderr = await run(images, "test/drop:1", "no-such-program")
    assert status.code not in (None, 0)
    assert "no-such-program" in stderr


async def test_running_out_of_memory_is_told_from_other_ends(images: Images) -> None:
    eats = ("sh", "-c", "x=aaaaaaaa; while :; do x=$x$x; done")
    prepared = await images.prepare("test/drop:1", cmd=eats, limits=Limits(memory_mib=16))
    worker = spawn(images, prepared)
    assert await worker.exceeded_memory()
    quiet = await images.prepare("-m 16m test/drop:1", cmd=("sh", "-c", "kill -9 1; exit 1"))
    worker = spawn(images, quiet)
    assert not await worker.exceeded_memory()


async def test_a_flood_of_processes_meets_the_limit(images: Images) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; echo all"
    prepared = await images.prepare("--pids-limit 8 test/drop:1", cmd=("sh", "-c", script))
    worker = spawn(images, prepared)
    status, _, stderr = await worker.ended()
    assert "can't fork" in stderr
    assert status.code != 0


async def test_an_image_is_unpacked_once_for_all_who_ask(fresh: Images) -> None:
    prepared = await asyncio.gather(*(fresh.prepare("test/drop:1") for _ in range(6)))
    assert len({each.image.id for each in prepared}) == 1
    (bundle,) = fresh.directory.glob("bundles/*")
    made = (bundle / "image.json").stat()
    await fresh.prepare("test/drop:1")
    assert (bundle / "image.json").stat().st_ino == made.st_ino
    assert bundle.stat().st_mode & 0o077 == 0
    assert fresh.directory.stat().st_mode & 0o077 == 0


async def test_a_damaged_bundle_is_made_again(fresh: Images) -> None:
    await fresh.prepare("test/drop:1")
    (bundle,) = fresh.directory.glob("bundles/*")
    (bundle / "image.json").write_text("{")
    _, stdout, _ = await run(fresh, "test/drop:1", "echo", "whole")
    assert stdout == "whole\n"


async def test_workers_of_several_functions_at_once(images: Images) -> None:
    prepared = [
        await images.prepare("test/drop:1"),
        await images.prepare("-u root test/bare:1", cmd=("cat",)),
    ]
    workers = [spawn(images, each) for each in prepared for _ in range(4)]
    for number, worker in enumerate(workers):
        worker.write(b"%d\n" % number)
    assert [worker.line() for worker in workers] == [b"%d\n" % n for n in range(8)]
    for worker in workers:
        worker.close_stdin()
    assert {(await worker.ended())[0].code for worker in workers} == {0}


async def test_an_image_that_is_not_there_is_not_fetched(images: Images) -> None:
    with pytest.raises(ImageError, match=r"image test/none:1 is not on this machine: podman pull"):
        await images.prepare("test/none:1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-t test/drop:1", "found --tty"),
        ("test/bare:1", "image test/bare:1: .* needs the key cmd"),
        ("-u stranger test/drop:1", "image test/drop:1: .* no user 'stranger'"),
        ("-m 4m test/drop:1", "at least 8m"),
    ],
)
async def test_what_cannot_be_run_is_said_when_it_is_prepared(
    images: Images, text: str, said: str
) -> None:
    with pytest.raises(ImageError, match=said):
        await images.prepare(text)


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


async def test_the_machines_mounts_stay_as_they_are(images: Images) -> None:
    before = mounts()
    worker = spawn(images, await images.prepare("test/drop:1"))
    worker.write(b"x\n")
    assert worker.line() == b"x\n"
    assert mounts() == before
    worker.close_stdin()
    await worker.ended()
    assert mounts() == before


async def test_a_runtime_that_is_left_out_is_reported(images: Images) -> None:
    await images.prepare("test/drop:1")
    assert any("workers are started by crun" in line for line in images.report())


async def test_one_start_serves_many_where_others_make_the_groups(
    store: Store, tmp_path: Path
) -> None:
    images = Images(tmp_path / "var", engine=store.engine, own_groups=False)
    start = images.start(await images.prepare("test/drop:1"), {})
    assert start.reusable
    command = Command(start.argv, None, start.environment)
    workers = [Worker(images, start, launch(command)) for _ in range(3)]
    for number, worker in enumerate(workers):
        worker.write(b"%d\n" % number)
    assert [worker.line() for worker in workers] == [b"0\n", b"1\n", b"2\n"]
    for worker in workers:
        worker.close_stdin()
    assert {(await worker.ended())[0].code for worker in workers} == {0}
    await images.close()


async def test_runc_does_it_too(
    fresh: Images, monkeypatch: pytest.MonkeyPatch, marked: str
) -> None:
    if shutil.which("runc", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("not installed: runc")
    monkeypatch.setattr("drop.images.runtime._NAMES", ("runc",))
    script = f"echo up; sh -c 'sleep 1000; :' {marked}"
    prepared = await fresh.prepare(
        "test/drop:1", cmd=("sh", "-c", script, marked), limits=Limits(memory_mib=16)
    )
    assert any("workers are started by runc" in line for line in fresh.report())
    worker = spawn(fresh, prepared)
    assert worker.line() == b"up\n"
    worker.signal(signal.SIGKILL)
    await worker.ended()
    until(lambda: not processes(marked))
    eats = ("sh", "-c", "x=aaaaaaaa; while :; do x=$x$x; done")
    worker = spawn(
        fresh, await fresh.prepare("test/drop:1", cmd=eats, limits=Limits(memory_mib=16))
    )
    assert await worker.exceeded_memory()
