"""Sends the data set through the flow and gathers what comes out at its three ends."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from drop.client import AsyncClient, Subscription
from drop.errors import DropError

BATCH = 500  # calls outstanding at once; half a mailbox (`queue` of a pool: 1024 messages)
TIMEOUT_S = 60.0  # for what is still inside the flow when everything has been sent


class End:
    """The last pool of a branch: how much it has answered, and its result so far.

    Every answer there begins with `prefix` and the number of flights it is about. Its pool may have
    several workers, which promise no order, so the latest result is the one with the largest count.
    """

    def __init__(self, pool: str, prefix: bytes) -> None:
        self.pool = pool
        self.prefix = prefix
        self.answers = 0
        self.flights = 0
        self.latest = ""
        self._progress = asyncio.Event()

    async def follow(self, subscription: Subscription) -> None:
        async for answer in subscription:
            self.answers += 1
            flights = int(answer.removeprefix(self.prefix).split(None, 1)[0])
            if flights > self.flights:
                self.flights, self.latest = flights, answer.decode()
            self._progress.set()

    async def reached(self, answers: int) -> None:
        while self.answers < answers:
            self._progress.clear()
            await self._progress.wait()


class Feed:
    def __init__(self, client: AsyncClient, records: Sequence[bytes]) -> None:
        self.client = client
        self.records = records
        self.sent = 0
        self.flown = 0
        self.flown_from_jfk = 0
        self.cancelled = 0
        self.carriers = End("carrier_report", b"flights=")
        self.hours = End("hour_report", b"flights=")
        self.cancellations = End("cancelled", b"cancelled=")

    async def run(self, progress: Callable[[], None] = lambda: None) -> None:
        """Returns when every record has come out wherever it must; `progress` is called often."""
        async with asyncio.TaskGroup() as group, AsyncExitStack() as subscriptions:
            for end in (self.carriers, self.hours, self.cancellations):
                subscription = self.client.subscribe(end.pool, end.prefix, wait=True)
                await subscriptions.enter_async_context(subscription)
                group.create_task(end.follow(subscription))  # until the subscription is closed
            for start in range(0, len(self.records), BATCH):
                await self._send(self.records[start : start + BATCH])
                progress()
            async with asyncio.timeout(TIMEOUT_S):
                await self.carriers.reached(self.flown)
                await self.hours.reached(self.flown_from_jfk)
                await self.cancellations.reached(self.cancelled)

    async def _send(self, records: Sequence[bytes]) -> None:
        """Calls `parse`; its answers also tell how many messages each end is going to see."""
        for answer in await self.client.call_many("parse", records):
            if isinstance(answer, DropError):
                raise answer
            self.sent += 1
            self.cancelled += answer.startswith(b"cancelled ")
            if answer.startswith(b"flown "):
                self.flown += 1
                self.flown_from_jfk += b" origin=JFK " in answer

    @property
    def function_runs(self) -> int:
        """Messages that functions have answered, the seven pools of the flow added up."""
        flown = 3 * self.carriers.answers  # grade, by_carrier, carrier_report
        flown_from_jfk = 2 * self.hours.answers  # by_hour, hour_report
        return self.sent + flown + flown_from_jfk + self.cancellations.answers
