"""How long to wait between two attempts to connect: doubling, with jitter, up to a bound."""

from __future__ import annotations

from collections.abc import Callable
from random import random

from drop.client.limits import BACKOFF_FIRST_S, BACKOFF_MAX_S


class Backoff:
    """Clients that lost the same node must not come back in step: half of each pause is chance."""

    def __init__(self, chance: Callable[[], float] = random) -> None:
        self._chance = chance
        self._pause = BACKOFF_FIRST_S

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        pause = self._pause * (0.5 + 0.5 * self._chance())
        self._pause = min(2 * self._pause, BACKOFF_MAX_S)
        return pause

    def reset(self) -> None:
        self._pause = BACKOFF_FIRST_S
