"""How workers of a pool are started: real recipes, processes, control groups and secrets."""

from __future__ import annotations

import os
import select
from dataclasses import replace
from pathlib import Path

import pytest

from as_nobody import needs_root
from drop.pools.starter import ENDING, EXEC_SLOTS_MAX, STAND_IN, Starter
from drop.secrets.value import Secret
from drop.workers.process import LaunchError, Process
from pools_tools import Machine, pool_of


def said(process: Process) -> str:
    """What it writes until it ends, when its stdin ends at once."""
    stdin, stdout = process.take_pipes()
    os.close(stdin)
    with open(stdout) as pipe:
        text = pipe.read()
    select.select([process.pidfd], [], [], 10)
    process.reap()
    return text


def script(text: str, **keys: object) -> dict[str, object]:
    return {"name": "p", "cmd": ["sh", "-c", text], **keys}


async def test_a_worker_knows_its_number_and_where_it_is(here: Machine, tmp_path: Path) -> None:
    text = "echo $DROP_POOL/$DROP_WORKER in $PWD"
    starter = Starter(pool_of(tmp_path, **script(text)), here.host)
    assert [said(starter.launch(n)) for n in (1, 2)] == [f"p/{n} in {tmp_path}\n" for n in (1, 2)]
    starter.close()


async def test_files_of_variables_are_read_at_each_start(here: Machine, tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("A=1\n")
    starter = Starter(pool_of(tmp_path, **script("echo $A", env_file=str(file))), here.host)
    assert said(starter.launch(1)) == "1\n"
    file.write_text("A=2\n")
    assert said(starter.launch(1)) == "2\n"
    file.unlink()
    with pytest.raises(LaunchError, match=f"{file}.*cannot be read"):
        starter.launch(1)
    starter.close()


async def test_an_update_holds_for_the_next_start(here: Machine, tmp_path: Path) -> None:
    starter = Starter(pool_of(tmp_path, **script("echo $A", env={"A": "1"})), here.host)
    assert said(starter.launch(1)) == "1\n"
    starter.update(pool_of(tmp_path, **script("echo $A", env={"A": "2"})))
    assert said(starter.launch(1)) == "2\n"
    starter.close()


async def test_a_secret_lies_ready_as_long_as_its_worker_lives(
    here: Machine, tmp_path: Path
) -> None:
    here.secrets.set("K", Secret(b"value"))
    text = "cat $CREDENTIALS_DIRECTORY/K; read x"
    starter = Starter(pool_of(tmp_path, **script(text, secrets=["K"])), here.host)
    one, two = starter.launch(1), starter.launch(2)
    assert here.handed_over() == ["value", "value"]
    assert said(one) == "value"
    assert here.handed_over() == ["value"]
    assert said(two) == "value"
    assert here.handed_over() == []
    starter.close()


@pytest.mark.parametrize("fault", ["cwd", "user"])
async def test_a_start_that_fails_leaves_no_secret_behind(
    here: Machine, tmp_path: Path, fault: str
) -> None:
    here.secrets.set("K", Secret(b"value"))
    keys = {"cwd": "absent"} if fault == "cwd" else {"user": "no-such-user"}
    pool = pool_of(tmp_path, **script("cat", secrets=["K"], kind="exec", **keys))
    starter = Starter(pool, here.host)
    with pytest.raises(LaunchError, match=r"absent|no-such-user"):
        starter.launch(1)
    if fault == "user":
        with pytest.raises(LaunchError, match=r"there is no user 'no-such-user'|cannot run as"):
            starter.capsule()
    assert here.handed_over() == []
    starter.close()


async def test_processes_of_before_keep_their_secret_until_they_end(
    here: Machine, tmp_path: Path
) -> None:
    here.secrets.set("K", Secret(b"old"))
    pool = pool_of(tmp_path, **script("cat", secrets=["K"], kind="exec", timeout=60_000))
    starter = Starter(pool, here.host)
    starter.capsule()
    assert here.handed_over() == ["old"]
    here.secrets.set("K", Secret(b"new"))
    starter.update(pool)
    starter.capsule()
    assert here.handed_over() == ["new", "old"]
    starter.close()
    assert here.handed_over() == []


async def test_a_failure_is_explained_by_the_recipe_that_is_in_use(
    here: Machine, tmp_path: Path
) -> None:
    pool = pool_of(tmp_path, name="p", cmd=["no-such-program"], kind="exec")
    starter = Starter(pool, here.host)
    starter.capsule()
    starter.update(replace(pool, launch=replace(pool.launch, secrets=("ABSENT",))))
    with pytest.raises(LaunchError, match="ABSENT"):
        starter.capsule()
    text = starter.explain(2, "cannot find the program in PATH")
    assert text.startswith("no-such-program (in ")
    assert "install it, or write its path" in text
    starter.close()


@needs_root
@pytest.mark.parametrize(
    ("keys", "slots"),
    [
        ({"num": 3}, 3 + STAND_IN),
        ({"num": 3, "kind": "exec", "spare": 2}, 3 + 2 + ENDING),
        ({"num": 3, "kind": "exec"}, 3 + 3 + ENDING),
        ({"num": 1024, "kind": "exec"}, EXEC_SLOTS_MAX),
    ],
)
async def test_there_is_a_slot_for_each_process(
    here: Machine, tmp_path: Path, keys: dict[str, object], slots: int
) -> None:
    if "pids" in here.groups.problems:
        pytest.skip(here.groups.problems["pids"])
    starter = Starter(pool_of(tmp_path, **script("cat", **keys)), here.host)
    assert starter._prepare(starter._provide(1)).native.slots == slots
    starter.close()


@needs_root
async def test_limits_are_those_of_the_last_update(here: Machine, tmp_path: Path) -> None:
    if "pids" in here.groups.problems:
        pytest.skip(here.groups.problems["pids"])
    starter = Starter(pool_of(tmp_path, **script("cat")), here.host)
    for processes in (7, 9):
        starter.update(pool_of(tmp_path, **script("cat", limits={"processes": processes})))
        process = starter.launch(1)
        groups = Path(f"/proc/{process.pid}/cgroup").read_text()
        assert "/pool-p/0" in groups
        (limit,) = Path("/sys/fs/cgroup").glob(f"**/{here.groups._name}/pool-p/0/pids.max")
        assert limit.read_text() == f"{processes}\n"
        process.signal_group(kill=True)
        assert said(process) == ""
    starter.close()
    assert not [*Path("/sys/fs/cgroup").glob(f"**/{here.groups._name}/pool-p")]


def test_a_pool_is_described_by_its_command() -> None:
    assert Starter.describe(pool_of(name="p", cmd=["echo", "a b"])) == "echo 'a b'"
    assert Starter.describe(pool_of(name="p", cmd=["cat"], image="i:1")) == "i:1 cat"
