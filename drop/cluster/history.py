"""What changed among the nodes, numbered, so that whoever watches can go on where it stopped.

A watcher says which number it knows; it gets what came after, at once or when there is something.
Only the last changes are kept: who comes late is told so and looks at the whole list instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

CHANGES_MAX = 1024
"""Some minutes of a namespace of 300 nodes that all start anew."""

Document = dict[str, Any]


class Changes(NamedTuple):
    revision: int
    """The number to ask with the next time."""
    changes: list[Document]
    missed: bool
    """Some were forgotten meanwhile."""


class History:
    def __init__(self, changes_max: int = CHANGES_MAX) -> None:
        self.revision = 0
        self._changes: deque[tuple[int, Document]] = deque(maxlen=changes_max)
        self._more = asyncio.Event()

    def add(self, change: Document) -> None:
        """Wakes everyone who waits."""
        self.revision += 1
        self._changes.append((self.revision, change))
        self._more.set()
        self._more = asyncio.Event()

    def since(self, revision: int) -> Changes:
        """What came after `revision`. One that is not ours (the node was started anew) has missed
        everything."""
        first = self._changes[0][0] if self._changes else self.revision + 1
        known = 0 <= revision <= self.revision
        missed = not known or revision < first - 1
        after = [change for number, change in self._changes if known and number > revision]
        return Changes(self.revision, after, missed)

    async def wait(self, revision: int, seconds: float) -> Changes:
        """As `since`, but waits up to `seconds` for something to tell."""
        found = self.since(revision)
        if not found.changes and not found.missed:
            try:
                await asyncio.wait_for(self._more.wait(), seconds)
            except TimeoutError:
                return found
        return self.since(revision)
