"""Many MCP clients in front of one MCP server program: event in, actions out. Pure.

Clients are known by the messages of a pool; their ids may collide, and one pool's message has one
answer. The server knows one client, this session, with ids of its own. A client that wants its
cancellations matched says who it is, see `CLIENT_MARK`.

A program that speaks both eras of the protocol decides by the first request which one it serves, so
each era has a process of its own, started when the first request of that era comes.
"""

from __future__ import annotations

import re

from drop.adapters import jsonrpc
from drop.adapters.jsonrpc import Malformed, Message, parse
from drop.adapters.mcp_events import (
    Action,
    Answer,
    Ended,
    Era,
    Event,
    FromClient,
    FromServer,
    Log,
    Send,
)
from drop.adapters.mcp_server import CANCELLED, SERVER_ENDED, Pending, Server

PENDING_MAX = 1024  # as many as a worker may owe answers for
LOGGED_MAX = 2000  # characters of what is logged of a message

#: In front of a message, `{"drop/client":"NAME",` names the client; it is taken out again.
CLIENT_MARK = re.compile(rb'\s*\{"drop/client":"([0-9A-Za-z_-]{1,64})",')

_META = "io.modelcontextprotocol/"
#: Errors of the modern protocol itself; any other answer to a discovery is that of an older server.
_MODERN_ERRORS = range(-32022, -32019)
#: What could only be answered by notifications later on.
_SUBSCRIBING = ("resources/subscribe", "resources/unsubscribe", "subscriptions/listen")
#: Notifications about what the server has never been promised.
_SWALLOWED = ("notifications/initialized", "notifications/roots/list_changed")


class Session:
    """Holds no process and no clock; `now` is monotonic, in seconds."""

    def __init__(self, request_s: float, version: str = "") -> None:
        self._request_s = request_s  # for one request, from its arrival to its answer
        self._servers = {era: Server(era, version) for era in Era}
        self._modern_refused = False

    @property
    def pending(self) -> int:
        """Requests without an answer."""
        return sum(len(each.sent) + len(each.waiting) for each in self._servers.values())

    def next_wake(self) -> float | None:
        """When the next Tick has something to do."""
        times = [each.next_wake() for each in self._servers.values()]
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """What is to be done about an event."""
        if isinstance(event, FromClient):
            return self._from_client(event, now)
        if isinstance(event, FromServer):
            return self._from_server(event)
        if isinstance(event, Ended):
            return self._ended(event, now)
        return [action for each in self._servers.values() for action in each.tick(now)]

    # -- clients ----------------------------------------------------------------------------------

    def _from_client(self, event: FromClient, now: float) -> list[Action]:
        payload, client = event.payload, ""
        if mark := CLIENT_MARK.match(payload):
            payload, client = b"{" + payload[mark.end() :], mark[1].decode()
        try:
            message = parse(payload)
        except Malformed as error:
            told = jsonrpc.error(error.identity, error.code, str(error))
            return [Answer(event.token, told.encode())]
        if not message.method:
            return [Answer(event.token, b""), Log("a client sent a response; nobody has asked it")]
        if not message.identity:
            return [*self._notification(message, client), Answer(event.token, b"")]
        pending = Pending(event.token, client, message, now + self._request_s)
        refusal = self._refusal(message)
        return [_refused(pending, *refusal)] if refusal else self._ask(pending, now)

    def _refusal(self, message: Message) -> tuple[int, str] | None:
        if message.method in _SUBSCRIBING:
            text = f"{message.method}: a pool carries answers, not notifications"
            return jsonrpc.METHOD_NOT_FOUND, text
        if self.pending >= PENDING_MAX:
            return SERVER_ENDED, f"{PENDING_MAX} requests are waiting for the MCP server"
        if self._modern_refused and _era_of(message) is Era.MODERN:
            text = "the MCP server knows no protocol version without a handshake"
            return jsonrpc.METHOD_NOT_FOUND, text
        return None

    def _ask(self, pending: Pending, now: float) -> list[Action]:
        return self._servers[_era_of(pending.message)].ask(pending, now)

    def _notification(self, message: Message, client: str) -> list[Action]:
        if message.method == "notifications/cancelled":
            return self._cancel(message, client)
        if message.method in _SWALLOWED:
            return []
        return self._servers[Era.HANDSHAKE].tell(message.text)

    def _cancel(self, message: Message, client: str) -> list[Action]:
        """Only a request that is surely meant: late cancellations and equal ids are common."""
        member = message.member("params", "requestId")
        if member is None:
            return []
        written = message.text[member.start : member.end]
        found = [
            (server, number)
            for server in self._servers.values()
            for number, pending in server.sent.items()
            if pending.message.identity == written and pending.client == client
        ]
        if len(found) > 1:
            return [Log(f"not cancelled: {len(found)} clients have a request {written} out")]
        reason = message.value("params", "reason")
        told = reason if isinstance(reason, str) else "cancelled by the client"
        return [action for server, number in found for action in server.cancel(number, told)] + [
            action for server in self._servers.values() for action in _drop(server, written, client)
        ]

    # -- servers ----------------------------------------------------------------------------------

    def _from_server(self, event: FromServer) -> list[Action]:
        try:
            message = parse(event.line)
        except Malformed as error:
            text = event.line.decode("utf-8", "replace")
            return [Log(f"ignored a line of the MCP server, {error}: {_short(text)}")]
        if not message.method:
            return self._response(event.era, message)
        if message.identity:
            return [Send(event.era, _own_answer(message).encode())]
        return _logged(message)

    def _ended(self, event: Ended, now: float) -> list[Action]:
        """Some servers of the handshake era end when they are asked for the other one."""
        server = self._servers[event.era]
        asked = any(each.message.method == "server/discover" for each in server.sent.values())
        if event.era is Era.MODERN and asked and not server.answered:
            self._modern_refused = server.stopping = True
        return server.ended(event.reason, now, hopeless=event.hopeless)

    def _response(self, era: Era, message: Message) -> list[Action]:
        server = self._servers[era]
        asked = server.sent.get(message.identity.strip('"'))
        actions = server.heard(message)
        if asked is not None and era is Era.MODERN and _tells_of_older(asked.message, message):
            self._modern_refused = True
            actions.append(server.stop())
        return actions


def _era_of(message: Message) -> Era:
    """A request of the modern era names its version; `initialize` exists in the other one only."""
    modern = message.value("params", "_meta", f"{_META}protocolVersion") is not None
    return Era.MODERN if modern and message.method != "initialize" else Era.HANDSHAKE


def _tells_of_older(asked: Message, answer: Message) -> bool:
    """Whether a server of the handshake era answered a discovery that had all that it needs."""
    complete = isinstance(asked.value("params", "_meta", f"{_META}clientCapabilities"), dict)
    code = answer.value("error", "code")
    modern = isinstance(code, str) and code in {str(each) for each in _MODERN_ERRORS}
    return asked.method == "server/discover" and complete and answer.is_error and not modern


def _own_answer(message: Message) -> str:
    """To a request of a server, which no client can be asked."""
    if message.method == "ping":
        return jsonrpc.result(message.identity, {})
    text = f"{message.method}: the clients of a pool cannot be asked"
    return jsonrpc.error(message.identity, jsonrpc.METHOD_NOT_FOUND, text)


def _logged(message: Message) -> list[Action]:
    """Notifications of a server end in the log; progress, which would fill it, ends here."""
    if message.method == "notifications/progress":
        return []
    if message.method == "notifications/message":
        level, data = message.value("params", "level"), message.value("params", "data")
        return [Log(f"{level}: {_short(str(data))}")]
    return [Log(f"the MCP server notified: {_short(message.text)}")]


def _drop(server: Server, written: str, client: str) -> list[Action]:
    """Gives up requests that have not been sent yet."""
    gone = [
        pending
        for pending in server.waiting
        if pending.message.identity == written
        and pending.client == client
        and pending.message.method != "initialize"
    ]
    server.waiting = [pending for pending in server.waiting if pending not in gone]
    return [_refused(pending, CANCELLED, "the request was cancelled") for pending in gone]


def _refused(pending: Pending, code: int, text: str) -> Action:
    return Answer(pending.token, jsonrpc.error(pending.message.identity, code, text).encode())


def _short(text: str) -> str:
    return text if len(text) <= LOGGED_MAX else f"{text[:LOGGED_MAX]}..."
