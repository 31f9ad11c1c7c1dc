"""A pool that is called without a pause, by a thread that checks every answer.

Whatever a test does to another pool of the same node meanwhile must not be noticed here.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from drop.client import Client
from node_tools import until

POOL = "victim"
FLOW = f"""
name: {POOL}
func:
  - name: {POOL}
    cmd: cat
    num: 2
"""
CALL_SECONDS_MAX = 10.0  # a call that takes longer is one that was disturbed
CALLS_MIN = 20  # answered while the other pool misbehaved, or the test shows nothing


class Victim:
    """`with Victim(address) as victim`: at its end every call must have been answered rightly."""

    def __init__(self, address: str) -> None:
        self.answered = 0
        self._address = address
        self._enough = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="victim")

    def __enter__(self) -> Self:
        self._thread.start()
        self.check_undisturbed()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.check_undisturbed()
        finally:
            self._enough.set()
            self._thread.join()

    def check_undisturbed(self) -> None:
        """It goes on answering from here on, and has never answered wrongly."""
        begin = self.answered
        until(lambda: self._fault or self.answered >= begin + CALLS_MIN)
        assert self._fault is None, f"after {self.answered} calls: {self._fault!r}"

    def _run(self) -> None:
        try:
            with Client(self._address, timeout=CALL_SECONDS_MAX) as client:
                while not self._enough.is_set():
                    message = b"victim %d" % self.answered
                    answer = client.call(POOL, message)
                    assert answer == message, f"{message!r} was answered with {answer!r}"
                    self.answered += 1
        except BaseException as error:
            self._fault = error
