"""A progress bar with a rate, on stderr; nothing where that is no terminal."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class Bar:
    """For work of known length in time and an unknown number of items."""

    PAUSE_S = 0.1  # between two updates: cheap enough to leave the cores to what is measured

    def __init__(self, title: str, seconds: float) -> None:
        console = Console(stderr=True)
        self.visible = console.is_terminal
        self._seconds = seconds
        self._started = self._last_time = monotonic()
        self._last_count = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]:>12,.0f}/s"),
            TextColumn("{task.completed:.1f} of {task.total:.1f} s"),
            console=console,
            transient=True,
            auto_refresh=False,
            disable=not self.visible,
        )
        self._task = self._progress.add_task(title, total=seconds, rate=0.0)

    def update(self, count: int) -> None:
        """`count` items are done in all."""
        now = monotonic()
        rate = (count - self._last_count) / max(now - self._last_time, 1e-9)
        self._last_time, self._last_count = now, count
        done = min(now - self._started, self._seconds)
        self._progress.update(self._task, completed=done, rate=rate, refresh=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
