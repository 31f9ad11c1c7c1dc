"""Keeps one connection to a node: connects, notices its end, connects again with growing pauses.

A client that was never connected fails at the first refusal, so that a wrong address shows at once;
one that was goes on trying. Nothing that was sent is ever sent again: a function may have run.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

from drop.client.address import Address
from drop.client.backoff import Backoff
from drop.client.connection import Connection, Owner, open_connection
from drop.client.limits import STEADY_S
from drop.errors import ConnectionLost, DropError, Unauthorized


class Settings(NamedTuple):
    """What every connection of a client has in common."""

    address: Address
    token: bytes
    connect_timeout: float
    reconnect: bool
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.name else str(self.address)


class Kept(Owner, Protocol):
    """Who has its connection kept."""

    def connected(self, connection: Connection) -> None: ...

    def disconnected(self, error: DropError) -> None:
        """What was in flight has failed; unless unreachable() follows, a new one is tried."""

    def unreachable(self, error: DropError) -> None:
        """Given up; start() tries again."""


class Keeper:
    def __init__(self, settings: Settings, owner: Kept, *, events: bool = False) -> None:
        self.problem: DropError | None = None  # why there is no connection now
        self._settings = settings
        self._owner = owner
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._was_connected = False
        self._closed = False

    def start(self) -> None:
        """Begin to connect unless that is under way. Raises ConnectionLost when it may not."""
        self.check_open()
        if self._was_connected and not self._settings.reconnect and self._connection is None:
            raise ConnectionLost(f"{self.problem} (reconnect is off)")
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"drop.client {self._settings}"
            )

    def check_open(self) -> None:
        """Raises ConnectionLost after the end."""
        if self._closed:
            raise ConnectionLost(f"{self._settings}: the client is closed")

    def end(self, error: DropError) -> None:
        """Close for good, without waiting."""
        self._closed = True
        if self._connection is not None:
            self._connection.close(error)

    async def stop(self) -> None:
        """Close for good; waits until what was written has left."""
        error = ConnectionLost("the client was closed")
        connection = self._connection
        self.end(error)
        if connection is not None:
            await asyncio.shield(connection.closed)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._owner.unreachable(ConnectionLost(f"{self._settings}: {error}"))

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            error = await self._live(backoff)
            final = isinstance(error, Unauthorized) or not self._was_connected
            if final or self._closed or not self._settings.reconnect:
                self._owner.unreachable(error)
                return
            await asyncio.sleep(backoff.next())

    async def _live(self, backoff: Backoff) -> DropError:
        """One connection from its beginning to its end, and why it ended."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        connection = Connection(
            loop, settings.address, settings.token, self._owner, events=self._events
        )
        try:
            await open_connection(connection, settings.address, settings.connect_timeout)
        except DropError as error:
            self.problem = error
            return error
        since = loop.time()
        self._connection, self._was_connected, self.problem = connection, True, None
        self._owner.connected(connection)
        try:
            self.problem = await asyncio.shield(connection.closed)
        finally:
            self._connection = None
        if loop.time() - since >= STEADY_S:
            backoff.reset()
        self._owner.disconnected(self.problem)
        return self.problem
