"""The node's own log: one line per event on stderr, `time level event key=value ...`.

For people first, yet easy to take apart: values with spaces or quotes are JSON strings. Messages
of functions never come here; each pool has a file of its own.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

LOGGER = logging.getLogger("drop.node")

_PLAIN = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+\Z")


def value(thing: object) -> str:
    text = str(thing)
    return text if _PLAIN.match(text) else json.dumps(text, ensure_ascii=False)


def event(level: str, name: str, **fields: object) -> None:
    """Log one event; fields that are None are left out."""
    number = logging.getLevelNamesMapping()[level.upper()]
    if LOGGER.isEnabledFor(number):
        told = {key: each for key, each in fields.items() if each is not None}
        LOGGER.log(number, name, extra={"fields": told})


class LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        fields: dict[str, object] = getattr(record, "fields", {})
        parts = [time, record.levelname.lower(), record.getMessage()]
        parts += [f"{key}={value(each)}" for key, each in fields.items()]
        line = " ".join(parts)
        if record.exc_info:
            line += f" traceback={value(self.formatException(record.exc_info))}"
        return line


def set_up(stream: TextIO | None = None, level: str = "info") -> None:
    """Once, by whoever runs a node as a process; a library must not."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False
    # asyncio reports exceptions of callbacks under its own name: they are ours.
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.handlers[:] = [handler]
    asyncio_log.propagate = False
