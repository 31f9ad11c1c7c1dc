"""Recipes from Python: what they refuse, what they share, and starts that fail in words."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from as_nobody import NOBODY, needs_root
from drop._fast.spawn import Recipe, SpawnError
from drop.workers.advice import advice_of_step
from drop.workers.process import Command, Exit, LaunchError, explain, launch, prepare

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "DROP_WORKER": "77"}


@pytest.fixture
def null() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_RDWR)
    yield fd
    os.close(fd)


def output_of(command: Command, slot: int = 0, **arguments: object) -> str:
    process = launch(prepare(command, arguments), slot)
    stdin, stdout = process.take_pipes()
    os.close(stdin)
    with open(stdout) as pipe:
        text = pipe.read()
    process.reap()
    return text


def shell(script: str, cwd: str | None = None, user: str = "") -> Command:
    return Command(("sh", "-c", script), cwd, ENVIRONMENT, user)


def test_number_of_the_worker_is_the_slots() -> None:
    assert output_of(shell("echo $DROP_WORKER"), 4) == "5\n"


def test_one_recipe_starts_many() -> None:
    recipe = prepare(shell("echo $DROP_WORKER"))
    processes = [launch(recipe, slot) for slot in range(3)]
    for slot, process in enumerate(processes):
        with open(process._pipes[1] if process._pipes else -1, closefd=False) as pipe:
            assert pipe.read() == f"{slot + 1}\n"
        assert process.reap().clean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 2}, "slots: 2 for 0 groups"),
        ({"groups": [b"/a"]}, "slots: 0 for 1 groups"),
        ({"groups": [b"/a"] * 9, "slots": 1}, "groups: at most 8"),
        ({"kept": [b"/a"] * 70, "writable": [b"/b"] * 59}, "at most 128 paths together"),
        ({"limits": dict.fromkeys(range(17), 1)}, "limits: at most 16"),
        ({"uid": -2}, "uid: -2"),
        ({"private": [b"/a\0b"]}, "NUL"),
        ({"private_options": b"a\0"}, "NUL"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe([b"true"], env=[], cwd=None, **options)  # type: ignore[arg-type]


def test_slot_that_is_not_there(null: int) -> None:
    recipe = Recipe([b"true"], env=[], cwd=None, groups=[b"/no/such/group"], slots=2)
    with pytest.raises(ValueError, match="slot 2: there are 2"):
        recipe.spawn(2, stdin=null, stdout=null, stderr=null)
    with pytest.raises(SpawnError, match="cannot open the control group") as caught:
        recipe.spawn(1, stdin=null, stdout=null, stderr=null)
    assert caught.value.step == "cannot open the control group"
    assert not caught.value.executing
    assert recipe.oom_kills(1) == 0
    recipe.kill_slot(1)


def test_recipe_is_made_once() -> None:
    recipe = Recipe([b"true"], env=[], cwd=None)
    with pytest.raises(TypeError, match="once"):
        recipe.__init__([b"true"], env=[], cwd=None)  # type: ignore[misc]
    raw = Recipe.__new__(Recipe)
    with pytest.raises(TypeError, match="was not made"):
        raw.kill_slot(0)


def test_capsule_outlives_the_recipe() -> None:
    recipe = Recipe([b"true"], env=[], cwd=None)
    capsule = recipe.capsule()
    del recipe
    assert '"drop.recipe"' in repr(capsule)


def test_descriptors_of_a_recipe_are_closed_with_it() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    try:
        recipe = Recipe([b"true"], env=[], cwd=None, landlock=True)
    except SpawnError as error:
        pytest.skip(str(error))
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    del recipe
    assert sorted(os.listdir("/proc/self/fd")) == before


def failure(command: Command, **arguments: object) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        launch(prepare(command, arguments))
    return caught.value


@needs_root
def test_directory_that_the_user_may_not_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "function").mkdir(parents=True)
    for directory in (tmp_path, *tmp_path.parents):
        if directory == Path("/tmp"):
            break
        directory.chmod(0o755)
    closed.chmod(0o700)
    error = failure(shell("pwd", str(closed / "function"), "nobody"), uid=NOBODY, gid=NOBODY)
    assert str(error).endswith(
        f"(in {closed}/function): cannot enter the directory: Permission denied (EACCES); nobody "
        f"may not enter {closed}: chmod o+x it, or run the function as somebody who may "
        "(`user:` in the flow, `worker_user` in the configuration)"
    )
    assert error.hopeless


def test_path_of_write_that_does_not_exist() -> None:
    error = failure(shell("true"), landlock=True, writable=[b"/no/such/path"])
    assert "cannot make landlock rules: " in str(error)
    assert str(error).endswith("; each path of `write` has to exist")


@needs_root
def test_steps_that_fail_say_what_to_do() -> None:
    error = failure(shell("true"), read_only=True, writable=[b"/no/such/path"])
    assert "cannot keep a path writable: No such file or directory (ENOENT); each path" in str(
        error
    )
    error = failure(shell("true"), private=[b"/no/such/path"])
    assert "cannot mount a private /tmp: " in str(error)
    assert "contain: {tmp: shared} does without" in str(error)


def test_control_group_that_cannot_be_made() -> None:
    class Broken:
        directories = ("/no/such/group",)
        slots = 1

        def prepare(self, slot: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", "/no/such/group/0")

    recipe = prepare(shell("true"), groups=Broken())
    with pytest.raises(LaunchError) as caught:
        launch(recipe)
    assert "cannot make the control group /no/such/group/0: No space left" in str(caught.value)
    with pytest.raises(OSError, match="No space"):
        recipe.prepare_all()


def test_failures_of_native_starts_read_the_same() -> None:
    command = Command(("no-such-program", "-x"), "/", ENVIRONMENT)
    with pytest.raises(LaunchError) as caught:
        launch(command)
    told = explain(command, errno.ENOENT, "cannot find the program in PATH")
    assert str(told) == str(caught.value)
    assert told.hopeless
    assert not explain(command, errno.EAGAIN, "cannot create a process").hopeless


def test_advice_for_a_limit_that_passes() -> None:
    text = advice_of_step("cannot create a process", errno.EAGAIN, "true", None, "", "")
    assert "limit of processes" in text


def test_out_of_memory_in_words() -> None:
    assert str(Exit(signal=9, out_of_memory_mib=64)) == "killed: out of memory, limit 64 MiB"
    assert str(Exit(code=1, out_of_memory_mib=64)) == (
        "exit code 1; a process that it had started was killed: out of memory, limit 64 MiB"
    )
