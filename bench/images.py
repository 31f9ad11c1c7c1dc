"""What a worker in a container costs: `python -m bench.images IMAGE [ROUNDS]`, as root.

Of an image whose command copies lines (`cat`), in the store of podman or docker:

    start   from the spawn to the first answer; the median of ROUNDS (20)
    line    the round trip of one line through the pipes of a worker; the median of 20 000
    memory  of what stands beside the program: drop-enclose and the runtime

beside the same for a plain process, and for `podman run` (or `docker run`), which is what an option
that only they understand costs.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from drop.images.images import Images
from drop.images.launcher import Start
from drop.images.prepared import PreparedImage
from drop.workers.process import Command, Process, launch

LINES = 20_000
SECONDS_MAX = 5.0  # of round trips


class Worker:
    """A process that answers lines; `seconds` is what its start took."""

    def __init__(self, command: Command) -> None:
        begin = time.perf_counter()
        self.process: Process = launch(command)
        self._stdin, self._stdout = self.process.take_pipes()
        self.ask()
        self.seconds = time.perf_counter() - begin

    def ask(self) -> None:
        os.write(self._stdin, b"x\n")
        assert os.read(self._stdout, 2) == b"x\n", "the image's command does not copy lines"

    def trip(self) -> float:
        """Microseconds."""
        taken: list[float] = []
        end = time.perf_counter() + SECONDS_MAX
        while len(taken) < LINES and time.perf_counter() < end:
            begin = time.perf_counter()
            self.ask()
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) * 1e6

    def companions_mib(self) -> float:
        """Of the process that was spawned and the one it has started: not of the program."""
        total = 0
        pids = [self.process.pid]
        pids += [int(pid) for pid in _children(pids[0])]
        for pid in pids:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(text.split("Pss:")[1].split()[0])
        return total / 1024

    def end(self) -> None:
        os.close(self._stdin)
        os.read(self._stdout, 1)
        os.close(self._stdout)
        self.process.reap()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def measure(
    name: str, rounds: int, command: Callable[[], tuple[Command, Start | None]], images: Images
) -> None:
    starts, trip, memory = [], 0.0, 0.0
    for number in range(rounds):
        what, start = command()
        worker = Worker(what)
        starts.append(worker.seconds * 1e3)
        if number == 0:
            trip = worker.trip()
            memory = worker.companions_mib() if start and not start.by_engine else 0.0
        worker.end()
        if start is not None:
            await images.ended(start)
    spread = f"{min(starts):.1f} to {max(starts):.1f}"
    text = f"{name:<14} start {statistics.median(starts):7.1f} ms ({spread})   line {trip:6.1f} us"
    print(text + (f"   memory {memory:.1f} MiB" if memory else ""), flush=True)


async def main(image: str, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="drop-bench-") as var_dir:
        images = Images(var_dir)
        direct = await images.prepare(image)
        by_engine = await images.prepare(f"--cap-drop=ALL {image}")
        print("\n".join(images.report()))
        plain = Command(("cat",), None, {"PATH": "/usr/bin:/bin"})
        await measure("plain process", rounds, lambda: (plain, None), images)
        await measure("bundle", rounds, partial(_of, images, direct), images)
        await measure("engine's run", rounds, partial(_of, images, by_engine), images)
        await images.close()


def _of(images: Images, prepared: PreparedImage) -> tuple[Command, Start | None]:
    start = images.start(prepared, {})
    return Command(start.argv, None, start.environment), start


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20))
