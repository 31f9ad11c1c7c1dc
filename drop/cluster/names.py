"""The addresses behind the names of the hosts file, looked up aside by the machine's own resolver.

A resolver whose servers are gone takes half a minute for each name, and cannot be interrupted. So
nobody waits for it: what is known is used, and who has it is told when there is more. The threads
are daemons of our own: the event loop's would be waited for when the node ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drop.clock import Clock, Timer

THREADS_MAX = 4
"""Names that are looked up at a time."""
AGAIN_SECONDS = 45.0
"""An older answer is asked for again when the hosts are looked at, which is every minute."""
GATHER_SECONDS = 0.25
"""From an answer to the word of it: answers come in crowds, and each makes new sockets."""

Address = tuple[str, int]
"""Numeric, and the scope id (0 but for link-local addresses of IPv6)."""


@dataclass(frozen=True, slots=True)
class Answer:
    addresses: tuple[Address, ...]
    """The last that there were; a resolver that is gone does not make them wrong."""
    fault: str | None
    """Why there are none, or no newer ones."""
    at: float


class Names:
    def __init__(self, clock: Clock, on_news: Callable[[], None]) -> None:
        """`on_news`, on the running loop: some answers are others than before."""
        self._clock = clock
        self._on_news = on_news
        self._answers: dict[str, Answer] = {}
        self._waiting: deque[str] = deque()
        self._asked: set[str] = set()
        self._news: Timer | None = None
        self._is_closed = False

    def look(self, names: Sequence[str]) -> dict[str, Answer]:
        """What is known of these; what is not, or is old, is asked for. Others are forgotten."""
        wanted, now = dict.fromkeys(names), self._clock.now()
        known = {name: each for name, each in self._answers.items() if name in wanted}
        self._answers = known
        self._waiting = deque(
            name
            for name in wanted
            if name not in self._asked
            and (name not in known or now - known[name].at >= AGAIN_SECONDS)
        )
        self._ask()
        return dict(known)

    def close(self) -> None:
        """Nothing is told any more; threads that hang are left to the end of the process."""
        self._is_closed = True
        self._waiting.clear()
        if self._news is not None:
            self._news.cancel()

    def _ask(self) -> None:
        while self._waiting and len(self._asked) < THREADS_MAX:
            name = self._waiting.popleft()
            self._asked.add(name)
            arguments = (name, asyncio.get_running_loop())
            threading.Thread(
                target=self._resolve, args=arguments, name="drop-resolver", daemon=True
            ).start()

    def _resolve(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread."""
        found: tuple[Address, ...] = ()
        fault = None
        try:
            found = addresses_of(name)
        except OSError as error:
            fault = error.strerror or str(error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._answered, name, found, fault)

    def _answered(self, name: str, found: tuple[Address, ...], fault: str | None) -> None:
        self._asked.discard(name)
        if self._is_closed:
            return
        before = self._answers.get(name)
        if fault and before:
            found = before.addresses
        self._answers[name] = Answer(found, fault, self._clock.now())
        if before is None or (before.addresses, before.fault) != (found, fault):
            self._tell_soon()
        self._ask()

    def _tell_soon(self) -> None:
        if self._news is None:
            self._news = self._clock.call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._news = None
        self._on_news()


def addresses_of(host: str, *, numeric: bool = False) -> tuple[Address, ...]:
    """In an order of their own, which does not change from answer to answer. Raises OSError; with
    `numeric`, it asks nobody, and a name is an error."""
    flags = socket.AI_NUMERICHOST if numeric else 0
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM, flags=flags)
    return tuple(
        sorted(
            {
                (str(address[0]).partition("%")[0], int((*address, 0, 0)[3]))
                for family, _, _, _, address in answers
                if family in (socket.AF_INET, socket.AF_INET6)
            }
        )
    )
