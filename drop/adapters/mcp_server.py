"""One MCP server program: started, initialized, asked, restarted when it dies. Pure.

    DOWN ──start──▶ STARTING ──initialized──▶ READY
      ▲                 │ refused: FRESH          │
      └────── ended ────┴────────── ended ────────┘  (after a pause, longer each time)

FRESH is a process that runs and has not been initialized. A modern server needs no initialization:
it is READY at once. Requests wait while the server is not READY; each has a deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from drop.adapters import jsonrpc
from drop.adapters.jsonrpc import Message
from drop.adapters.mcp_capabilities import initialize_params, without_notifications
from drop.adapters.mcp_events import Action, Answer, Era, Exit, Log, Send, Start, Stop

SERVER_ENDED = -32000
TIMED_OUT = -32001
CANCELLED = -32800

DEATHS_MAX = 5  # in a row, without an answer between them
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0
INITIALIZE_S = 30.0  # for a server to start and to answer `initialize`


class State(Enum):
    DOWN = "down"
    FRESH = "fresh"
    STARTING = "starting"
    READY = "ready"


@dataclass(slots=True)
class Pending:
    """A request of a client that has no answer yet."""

    token: bytes
    client: str
    message: Message
    deadline: float


@dataclass(slots=True)
class Server:
    """Give it what happens and carry out what it returns; `now` is monotonic, in seconds."""

    era: Era
    version: str = ""  # of the protocol, to be asked for in any case
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    state: State = State.DOWN
    sent: dict[str, Pending] = field(default_factory=dict)  # by the id that the server knows
    waiting: list[Pending] = field(default_factory=list)
    initialize: str = ""  # the params of the handshake; remembered for the next process
    initialized: Message | None = None  # the server's answer to it
    deaths: int = 0
    answered: bool = False  # at least one request of a client
    restart_at: float | None = None
    stopping: bool = False  # its end is wanted
    _handshake: str = ""  # the id of the `initialize` that is out
    _handshake_deadline: float = 0.0

    def ask(self, pending: Pending, now: float) -> list[Action]:
        """A request of a client, answered sooner or later, whatever happens."""
        if pending.message.method == "initialize" and self.initialized is not None:
            return [_answered(pending, self.initialized)]
        if self.state is State.READY:
            return [self._send(pending)]
        self.waiting.append(pending)
        if not self.initialize and pending.message.method == "initialize":
            self.initialize = initialize_params(pending.message, self.version)
        return self._bring_up(now) if self.restart_at is None else []

    def tell(self, text: str) -> list[Action]:
        """A notification; one that comes before a server is ready means nothing to it."""
        return [Send(self.era, text.encode())] if self.state is State.READY else []

    def cancel(self, number: str, reason: str) -> list[Action]:
        """Give up a request that was sent: its client is answered, the server is told."""
        pending = self.sent.pop(number)
        return [
            _failed(pending, CANCELLED, "the request was cancelled"),
            *self._tell_cancelled(number, reason),
        ]

    def heard(self, message: Message) -> list[Action]:
        """A response of the server."""
        number = message.identity.strip('"')
        if number == self._handshake:
            return self._handshake_done(message)
        pending = self.sent.pop(number, None)
        if pending is None:
            # A number is that of a request that was cancelled or came too late.
            return [] if number.isdigit() else [Log(f"the MCP server answered {message.text}")]
        self.deaths, self.answered = 0, True
        if pending.message.method == "server/discover" and not message.is_error:
            message = without_notifications(message)
        return [_answered(pending, message)]

    def ended(self, reason: str, now: float, *, hopeless: bool = False) -> list[Action]:
        """The process is gone: what it was asked fails; what waits goes to the next one."""
        wanted, self.stopping = self.stopping, False
        text = f"the MCP server {reason}"
        actions: list[Action] = [
            _failed(pending, SERVER_ENDED, f"{text}; it is started again")
            for pending in self.sent.values()
        ]
        self.sent.clear()
        self.state, self._handshake, self.initialized = State.DOWN, "", None
        if wanted:
            return [*actions, *self._fail_waiting(SERVER_ENDED, text)]
        self.deaths += 1
        if hopeless or self.deaths > DEATHS_MAX:
            actions += self._fail_waiting(SERVER_ENDED, text)
            times = "" if hopeless else f", {self.deaths} times in a row"
            return [*actions, Log(f"{text}{times}; giving up"), Exit(1)]
        pause = min(PAUSE_FIRST_S * 2 ** (self.deaths - 1), PAUSE_MAX_S)
        self.restart_at = now + pause
        return [*actions, Log(f"{text}; starting it again in {pause:g} s")]

    def tick(self, now: float) -> list[Action]:
        """What is due."""
        actions: list[Action] = []
        if self.restart_at is not None and self.restart_at <= now:
            self.restart_at = None
            if self.waiting or self.initialize:
                actions += self._bring_up(now)
        if self._handshake and self._handshake_deadline <= now:
            actions += [Log("the MCP server does not answer `initialize`"), self.stop()]
            self.stopping = False  # that is a death like another
            self._handshake_deadline = now + INITIALIZE_S
        return actions + self._expire(now)

    def next_wake(self) -> float | None:
        """When tick() has something to do."""
        times = [pending.deadline for pending in (*self.sent.values(), *self.waiting)]
        times += [self.restart_at] if self.restart_at is not None else []
        times += [self._handshake_deadline] if self._handshake else []
        return min(times, default=None)

    def stop(self) -> Action:
        """End the process for good."""
        self.stopping = True
        return Stop(self.era)

    # -- to the server ----------------------------------------------------------------------------

    def _bring_up(self, now: float) -> list[Action]:
        """One more step towards READY, if none is under way."""
        actions: list[Action] = []
        if self.state is State.DOWN:
            actions.append(Start(self.era))
            self.state = State.FRESH
        if self.state is State.FRESH and self.era is Era.MODERN:
            self.state = State.READY
            actions += self._flush()
        elif self.state is State.FRESH:
            self.state = State.STARTING
            self.initialize = self.initialize or initialize_params(None, self.version)
            self._handshake = str(next(self.numbers))
            self._handshake_deadline = now + INITIALIZE_S
            told = f'"method":"initialize","params":{self.initialize}'
            line = f'{{"jsonrpc":"2.0","id":{self._handshake},{told}}}'
            actions.append(Send(self.era, line.encode()))
        return actions

    def _handshake_done(self, message: Message) -> list[Action]:
        self._handshake = ""
        if message.is_error:
            self.state, self.initialize = State.FRESH, ""
            waiting, self.waiting = self.waiting, []
            return [
                Log(f"the MCP server refused to be initialized: {message.text}"),
                *(_answered(pending, message) for pending in waiting),
            ]
        self.state, self.initialized = State.READY, without_notifications(message)
        told = jsonrpc.notification("notifications/initialized")
        return [Send(self.era, told.encode()), *self._flush()]

    def _flush(self) -> list[Action]:
        """What has waited for a server that is ready."""
        waiting, self.waiting = self.waiting, []
        return [
            _answered(pending, self.initialized)
            if pending.message.method == "initialize" and self.initialized is not None
            else self._send(pending)
            for pending in waiting
        ]

    def _send(self, pending: Pending) -> Action:
        number = str(next(self.numbers))
        self.sent[number] = pending
        return Send(self.era, pending.message.with_identity(number).encode())

    def _tell_cancelled(self, number: str, reason: str) -> list[Action]:
        params = {"requestId": int(number), "reason": reason}
        return self.tell(jsonrpc.notification("notifications/cancelled", params))

    # -- to the clients ---------------------------------------------------------------------------

    def _fail_waiting(self, code: int, text: str) -> list[Action]:
        waiting, self.waiting = self.waiting, []
        return [_failed(pending, code, text) for pending in waiting]

    def _expire(self, now: float) -> list[Action]:
        text = "the MCP server did not answer in time"
        actions: list[Action] = []
        for number in [n for n, pending in self.sent.items() if pending.deadline <= now]:
            actions.append(_failed(self.sent.pop(number), TIMED_OUT, text))
            actions += self._tell_cancelled(number, "timeout")
        late = [pending for pending in self.waiting if pending.deadline <= now]
        self.waiting = [pending for pending in self.waiting if pending.deadline > now]
        return actions + [_failed(pending, TIMED_OUT, text) for pending in late]


def _answered(pending: Pending, message: Message) -> Action:
    return Answer(pending.token, message.with_identity(pending.message.identity).encode())


def _failed(pending: Pending, code: int, text: str) -> Action:
    return Answer(pending.token, jsonrpc.error(pending.message.identity, code, text).encode())
