"""Functions that fill, fork, write, connect and climb where they may not: real processes.

Each runs as its node would run it: what the host offers is probed, what the function wants decided,
its control groups made. Where this machine lacks something, the test says so and is skipped.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from as_nobody import NOBODY, as_nobody, needs_root
from drop.host.accounts import find
from drop.host.cgroup_tree import Limits
from drop.host.cgroups import NodeGroups, PoolGroups
from drop.host.confinement import directories_named, probe
from drop.workers.containment import Wanted, contain
from drop.workers.process import Command, Exit, Process, launch, prepare
from node_tools import processes, until

pytestmark = pytest.mark.system

PYTHON = "/usr/bin/python3"
SECONDS_MAX = 60
DEFAULT = Wanted()


class Ran:
    """What a process wrote and how it ended."""

    def __init__(self, process: Process) -> None:
        stdin, stdout = process.take_pipes()
        os.close(stdin)
        with open(stdout) as pipe:
            self.output = pipe.read()
        self.log = os.fdopen(process.take_stderr()).read()
        ready, _, _ = select.select([process.pidfd], [], [], SECONDS_MAX)
        assert ready
        self.exit: Exit = process.reap()


Start = Callable[..., Process]


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[NodeGroups]:
    made = NodeGroups.open("containment test", str(tmp_path))
    yield made
    made.close()


@pytest.fixture
def start(groups: NodeGroups, open_path: Path) -> Start:
    """Starts `sh -c script` in a directory of the worker's user, contained as `wanted` says."""

    def start(script: str, wanted: Wanted = DEFAULT, user: str = "nobody") -> Process:
        argv, account = ("sh", "-c", script), find(user)
        made = contain(
            wanted,
            probe(),
            account,
            directories=directories_named(argv, str(open_path)),
            groups_missing=groups.problems,
        )
        assert made.warnings == ()
        limits = Limits(made.groups.memory_mib, made.groups.processes, made.groups.cpu)
        pool: PoolGroups = groups.pool("function", 1, limits)
        command = Command(argv, str(open_path), {"PATH": "/usr/bin:/bin"}, account.name)
        recipe = prepare(command, made.arguments, groups=pool, memory_mib=made.groups.memory_mib)
        return launch(recipe)

    return start


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A directory that the worker's user may enter and own."""
    for directory in tmp_path.parents:
        if directory == Path("/tmp"):
            break
        directory.chmod(directory.stat().st_mode | stat.S_IXOTH)
    tmp_path.chmod(0o755)
    path = tmp_path / "function"
    path.mkdir()
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


def needs(groups: NodeGroups, controller: str) -> None:
    if controller in groups.problems:
        pytest.skip(groups.problems[controller])


# --- as root ---


@needs_root
def test_memory_that_is_filled(start: Start, groups: NodeGroups) -> None:
    needs(groups, "memory")
    fill = f"exec {PYTHON} -ISE -c 'a = [bytes(1 << 20) + b\"x\" for _ in range(400)]'"
    ran = Ran(start(fill, Wanted(memory_mib=48)))
    assert str(ran.exit) == "killed: out of memory, limit 48 MiB"
    again = Ran(start("echo well", Wanted(memory_mib=48)))
    assert again.output == "well\n"  # in the same slot, whose counter is above zero now
    assert again.exit == Exit(code=0)


@needs_root
def test_child_that_fills_its_memory(start: Start, groups: NodeGroups) -> None:
    needs(groups, "memory")
    fill = f"{PYTHON} -ISE -c 'a = [bytes(1 << 20) + b\"x\" for _ in range(400)]'; exit 3"
    ran = Ran(start(fill, Wanted(memory_mib=48)))
    assert str(ran.exit).endswith("out of memory, limit 48 MiB")


@needs_root
def test_private_tmp_counts_as_memory_and_ends(start: Start, groups: NodeGroups) -> None:
    needs(groups, "memory")
    ran = Ran(
        start("head -c 200M /dev/zero > /tmp/big; stat -c %s /tmp/big", Wanted(memory_mib=32))
    )
    assert ran.exit.out_of_memory_mib == 32 or int(ran.output) <= 32 << 20


@needs_root
def test_files_that_are_opened_without_end(start: Start) -> None:
    script = (
        f"exec {PYTHON} -ISE -c '"
        "import os\n"
        "count = 0\n"
        "try:\n"
        '    while count < 1000000: os.open("/dev/null", 0); count += 1\n'
        "except OSError as error: print(count, error.errno)'"
    )
    ran = Ran(start(script, Wanted(open_files=64)))
    assert ran.output == "61 24\n"


@needs_root
def test_file_that_grows_without_end(start: Start, open_path: Path) -> None:
    ran = Ran(start("exec head -c 5M /dev/zero > big", Wanted(file_size_mib=1)))
    assert str(ran.exit) == "killed by SIGXFSZ"
    assert (open_path / "big").stat().st_size == 1 << 20


@needs_root
def test_children_that_hide_in_sessions_of_their_own(
    start: Start, groups: NodeGroups, marked: str
) -> None:
    needs(groups, "pids")
    hide = f"setsid setsid sh -c 'while :; do sleep 9 & wait; done' {marked} > /dev/null 2>&1 &"
    process = start(f"{hide} {hide} echo done")
    assert os.read(process._pipes[1] if process._pipes else -1, 5) == b"done\n"
    until(lambda: len(processes(marked)) >= 2)
    assert select.select([process.pidfd], [], [], SECONDS_MAX)[0]
    assert process.reap().clean
    until(lambda: not processes(marked))


@needs_root
def test_fork_bomb(start: Start, groups: NodeGroups, marked: str) -> None:
    needs(groups, "pids")
    bomb = 'bomb() { setsid sh -c "$0 $1" & bomb & bomb & wait; }; bomb'
    process = start(f"set -- {marked}; {bomb}", Wanted(processes=40, open_files=64))
    limit = Path(groups._parents["pids"], "pool-function", "0")

    def reached() -> bool:
        refused = (limit / "pids.events").read_text().split()
        return int(refused[refused.index("max") + 1]) > 10

    until(reached)
    assert int((limit / "pids.current").read_text()) <= 40
    process.signal_group(kill=True)
    assert select.select([process.pidfd], [], [], SECONDS_MAX)[0]
    process.reap()
    until(lambda: (limit / "pids.current").read_text() == "0\n")
    assert (limit / "pids.max").read_text() == "40\n"


@needs_root
def test_writes_outside_of_the_allowed_places(start: Start, open_path: Path) -> None:
    places = f"{open_path}/allowed/x {open_path}/x /tmp/x /var/tmp/x /dev/shm/x /dev/null /etc/x"
    (open_path / "allowed").mkdir()
    (open_path / "allowed").chmod(0o777)
    script = f"for f in {places}; do (echo 1 > $f) 2> /dev/null && echo $f; done"
    wanted = Wanted(read_only=True, write=(f"{open_path}/allowed",))
    ran = Ran(start(script, wanted))
    expected = [f"{open_path}/allowed/x", "/tmp/x", "/var/tmp/x", "/dev/shm/x", "/dev/null"]
    assert ran.output.split() == expected
    assert not os.path.exists("/dev/shm/x")
    assert Ran(start(script, wanted, "root")).output.split() == expected  # root neither


@needs_root
def test_no_network(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = (
            f"exec {PYTHON} -ISE -c 'import socket\n"
            f'try: socket.create_connection(("127.0.0.1", {port}), 5); print("connected")\n'
            "except OSError as error: print(error.errno)\n"
            'try: socket.create_connection(("192.0.2.1", 9), 5)\n'
            "except OSError as error: print(error.errno)'"
        )
        assert Ran(start(connect, Wanted())).output.startswith("connected\n")
        refused, unreachable = Ran(start(connect, Wanted(network=False))).output.split()
    assert int(refused) == 111  # its own loopback interface, where nobody listens
    assert int(unreachable) == 101


@needs_root
def test_setuid_program_gives_nothing(start: Start, open_path: Path) -> None:
    shell = open_path / "id"
    shell.write_bytes(Path("/usr/bin/id").read_bytes())
    os.chown(shell, 0, 0)
    shell.chmod(0o4755)
    if not os.statvfs(shell).f_flag & os.ST_NOSUID:
        free = Ran(start("./id -u", Wanted(no_new_privileges=False)))
        assert free.output == "0\n"  # the program does what it is here for
    assert Ran(start("./id -u")).output == f"{NOBODY}\n"


@needs_root
def test_tmp_is_private(start: Start, tmp_path: Path) -> None:
    secret = Path("/tmp") / f"drop-secret-{tmp_path.name}-{os.getpid()}"
    secret.write_text("secret")
    try:
        first = Ran(start(f"cat {secret}; echo mine > /tmp/mine; cat /tmp/mine"))
        assert first.output == "mine\n"
        assert "No such file" in first.log
        assert not os.path.exists("/tmp/mine")
        assert Ran(start("ls /tmp/mine")).output == ""  # nor the next worker
        assert Ran(start(f"cat {secret}", Wanted(private_tmp=False))).output == "secret"
    finally:
        secret.unlink()


@needs_root
def test_worker_is_somebody_else_and_inherits_nothing(start: Start, null_fd: int) -> None:
    ran = Ran(start("id -u; id -G; ls /proc/self/fd; cat /proc/self/oom_score_adj; ulimit -n"))
    uid, gids, *fds, score, files = ran.output.split()
    assert (uid, gids) == (str(NOBODY), str(NOBODY))
    assert fds == ["0", "1", "2", "3"]  # 3: the directory that ls reads
    assert int(score) >= 200
    assert files == "1024"


@pytest.fixture
def null_fd() -> Iterator[int]:
    """A descriptor that children inherit unless somebody sees to it."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(fd, True)
    yield fd
    os.close(fd)


# --- as a plain user ---


def plain(script: str, wanted: Wanted, directory: Path) -> str:
    """The output of a script on a node that is not root's."""
    argv = ("sh", "-c", script)
    missing = {"pids": "none", "memory": "none", "cpu": "none"}
    made = contain(wanted, probe(), find("nobody"), directories=(), groups_missing=missing)
    command = Command(argv, str(directory), {"PATH": "/usr/bin:/bin"})
    return Ran(launch(prepare(command, made.arguments))).output


@needs_root
def test_plain_user_writes_where_it_may_only(open_path: Path) -> None:
    if "landlock" in probe().missing:
        pytest.skip(probe().missing["landlock"])
    (open_path / "allowed").mkdir()
    (open_path / "allowed").chmod(0o777)
    places = "allowed/x x /dev/null"
    script = f"for f in {places}; do (echo 1 > $f) 2> /dev/null && echo $f; done; cat allowed/x"
    wanted = Wanted(read_only=True, private_tmp=False, write=(f"{open_path}/allowed",))
    output = as_nobody(lambda: plain(script, wanted, open_path))
    assert output.split() == ["allowed/x", "/dev/null", "1"]
    assert as_nobody(lambda: plain("echo 1 > y && echo wrote", Wanted(), open_path)) == "wrote\n"


@needs_root
def test_plain_user_has_limits_and_no_new_privileges(open_path: Path) -> None:
    script = "grep NoNewPrivs /proc/self/status; ulimit -n; ls /proc/self/fd; cat /proc/self/limits"
    output = as_nobody(lambda: plain(script, Wanted(open_files=99), open_path)).split("\n")
    assert output[:6] == ["NoNewPrivs:\t1", "99", "0", "1", "2", "3"]
    (processes_limit,) = [line for line in output if line.startswith("Max processes")]
    assert int(processes_limit.split()[2]) > 512
