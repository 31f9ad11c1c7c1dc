"""Programs run in threads: how they end, how they are ended, and pipes between two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop.images.commands import Commands

ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def commands() -> Iterator[Commands]:
    made = Commands()
    yield made
    made.close()


async def test_what_a_program_says(commands: Commands) -> None:
    done = await commands.run(["sh", "-c", "echo out; echo err >&2; exit 3"], env=ENV, seconds=10)
    assert (done.code, done.stdout, done.complaint) == (3, "out\n", "err")


async def test_a_program_that_says_nothing(commands: Commands) -> None:
    done = await commands.run(["sh", "-c", "kill -9 $$"], env=ENV, seconds=10)
    assert done.complaint == "killed by SIGKILL"
    assert (await commands.run(["false"], env=ENV, seconds=10)).complaint == "exit code 1"


async def test_a_program_that_is_not_there(commands: Commands) -> None:
    done = await commands.run(["no-such-program"], env=ENV, seconds=10)
    assert done.code == 127
    assert "no-such-program: No such file" in done.complaint


async def test_a_program_that_takes_too_long_is_ended(commands: Commands) -> None:
    done = await commands.run(["sleep", "1000"], env=ENV, seconds=0.05)
    assert done.code == -9
    assert "not done after" in done.complaint


async def test_a_pipe_between_two(commands: Commands, tmp_path: Path) -> None:
    first, second = await commands.call(
        commands.pipe_now, ["echo", "x"], ["tee", "file"], env=ENV, cwd=tmp_path, seconds=10.0
    )
    assert (first.code, second.code) == (0, 0)
    assert (tmp_path / "file").read_text() == "x\n"


@pytest.mark.parametrize(
    ("source", "sink", "codes"),
    [
        (["no-such-program"], ["cat"], (127, 127)),
        (["yes"], ["no-such-program"], (-9, 127)),
        (["yes"], ["false"], (-13, 1)),
        (["false"], ["cat"], (1, 0)),
    ],
)
async def test_a_pipe_that_breaks(
    commands: Commands, tmp_path: Path, source: list[str], sink: list[str], codes: tuple[int, int]
) -> None:
    done = await commands.call(commands.pipe_now, source, sink, env=ENV, cwd=tmp_path, seconds=10.0)
    assert tuple(each.code for each in done) == codes


async def test_closing_ends_what_runs(commands: Commands, tmp_path: Path) -> None:
    """The program says by a file that it runs; then the node stops."""
    started = tmp_path / "started"
    os.mkfifo(started)
    running = asyncio.ensure_future(
        commands.run(["sh", "-c", f"echo > {started}; exec sleep 1000"], env=ENV, seconds=1000)
    )
    await asyncio.to_thread(started.read_text)
    commands.close()
    assert (await running).code == -9
    with pytest.raises(RuntimeError):
        await commands.run(["true"], env=ENV, seconds=1)
