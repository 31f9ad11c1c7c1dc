"""Sends the data set through the flow and gathers what comes out at its three ends."""

import asyncio
from collections.abc import Callable, Sequence

from drop.client import AsyncClient, Subscription
from drop.errors import DropError

BATCH = 500  # calls outstanding at once; half a mailbox (`queue` of a pool: 1024 messages)
TIMEOUT_S = 60.0  # for what is still inside the flow when everything has been sent


class End:
    """The last pool of a branch: how much it has answered, and its result so far.

    Every answer there begins `NAME=COUNT`, the number of flights it is about. Its pool may have
    several workers, which promise no order, so the latest result is the one with the largest count.
    """

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.answers = 0
        self.flights = 0
        self.latest = ""
        self._progress = asyncio.Event()

    async def follow(self, subscription: Subscription) -> None:
        async for answer in subscription:
            self.answers += 1
            flights = int(answer.partition(b"=")[2].split(None, 1)[0])
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
        self.carriers = End("carrier_report")
        self.hours = End("hour_report")
        self.cancellations = End("cancelled")

    async def run(self, progress: Callable[[], None] = lambda: None) -> None:
        """Returns when every record has come out wherever it must; `progress` is called often."""
        ends = (self.carriers, self.hours, self.cancellations)
        subscriptions = [await self.client.subscribe(end.pool, wait=True) for end in ends]
        async with asyncio.TaskGroup() as group:
            followers = [
                group.create_task(end.follow(subscription))
                for end, subscription in zip(ends, subscriptions, strict=True)
            ]
            for start in range(0, len(self.records), BATCH):
                await self._send(self.records[start : start + BATCH])
                progress()
            async with asyncio.timeout(TIMEOUT_S):
                await self.carriers.reached(self.flown)
                await self.hours.reached(self.flown_from_jfk)
                await self.cancellations.reached(self.cancelled)
            for follower in followers:
                follower.cancel()
        progress()

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
        """Messages that functions have answered: the seven pools of the flow added up."""
        return self.sent + 3 * self.flown + 2 * self.flown_from_jfk + self.cancelled
