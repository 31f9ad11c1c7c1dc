"""What the shell tells an MCP session, and what the session asks of it. Values only."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Era(Enum):
    """How a version of the protocol begins; a server process speaks one, from its first request on.

    Up to 2025-11-25 with `initialize`, from 2026-07-28 on with metadata in each request.
    """

    HANDSHAKE = "handshake"
    MODERN = "modern"


class FromClient(NamedTuple):
    """A message of the pool."""

    token: bytes
    payload: bytes


class FromServer(NamedTuple):
    """A line that a server wrote."""

    era: Era
    line: bytes


class Ended(NamedTuple):
    """The process of a server has ended, or could not be started."""

    era: Era
    reason: str
    hopeless: bool = False  # starting it again will not help


class Tick(NamedTuple):
    """Time has passed."""


Event = FromClient | FromServer | Ended | Tick


class Answer(NamedTuple):
    """The one answer to a message of the pool; empty for a notification."""

    token: bytes
    payload: bytes


class Send(NamedTuple):
    """A line for a server that has been started."""

    era: Era
    line: bytes


class Start(NamedTuple):
    """Start the process of a server; what is sent from here on reaches it."""

    era: Era


class Stop(NamedTuple):
    """End the process of a server; Ended follows."""

    era: Era


class Log(NamedTuple):
    """A line for the log."""

    text: str


class Exit(NamedTuple):
    """Nothing more can be done here: end with this code."""

    code: int


Action = Answer | Send | Start | Stop | Log | Exit
