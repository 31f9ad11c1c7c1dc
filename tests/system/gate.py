"""A rendezvous of a test with a worker that runs `hold FIFO`, see programs/obedient.py."""

import os
from pathlib import Path
from typing import Any


class Gate:
    """Holds one worker at a time, so that a test knows what that worker has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)
        self.message = b"hold %s" % os.fsencode(path)
        self._writer: Any = None

    def arrive(self) -> None:
        """Returns when a worker works on the message."""
        self._writer = self._path.open("wb", buffering=0)

    def release(self, answer: bytes = b"held") -> None:
        """Lets that worker answer."""
        with self._writer as writer:
            writer.write(answer)

    def leave(self) -> None:
        """The worker that was held is gone."""
        self._writer.close()

    def pass_one(self, answer: bytes = b"held") -> None:
        """Waits for a worker and lets it answer."""
        self.arrive()
        self.release(answer)
