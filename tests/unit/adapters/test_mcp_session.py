"""Every state of a server and every event, on a clock that the test holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drop.adapters.mcp_events import (
    Action,
    Answer,
    Ended,
    Era,
    Exit,
    FromClient,
    FromServer,
    Log,
    Send,
    Start,
    Stop,
    Tick,
)
from drop.adapters.mcp_server import DEATHS_MAX, INITIALIZE_S
from drop.adapters.mcp_session import PENDING_MAX, Session

META = "io.modelcontextprotocol/"
ENVELOPE = {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": {}}


class World:
    """A session with a clock; remembers what it has not been asked for yet."""

    def __init__(self, version: str = "") -> None:
        self.session = Session(10.0, version)
        self.now = 100.0
        self.tokens = 0
        self.last: list[Action] = []

    def handle(self, event: Any) -> list[Action]:
        self.last = self.session.handle(event, self.now)
        return self.last

    def client(self, message: Any, client: str = "") -> list[Action]:
        self.tokens += 1
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        if client:
            data = b'{"drop/client":"%s",' % client.encode() + data[1:]
        return self.handle(FromClient(b"%d" % self.tokens, data))

    def ask(self, method: str, identity: Any = 1, client: str = "", **params: Any) -> list[Action]:
        request = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        return self.client(request, client)

    def server(self, message: Any, era: Era = Era.HANDSHAKE) -> list[Action]:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        return self.handle(FromServer(era, line))

    def tick(self, seconds: float) -> list[Action]:
        self.now += seconds
        return self.handle(Tick())

    def sent(self) -> list[dict[str, Any]]:
        """What the last event has sent to servers."""
        return [json.loads(action.line) for action in self.last if isinstance(action, Send)]

    def answers(self) -> dict[bytes, Any]:
        """What the last event has answered."""
        return {
            action.token: json.loads(action.payload) if action.payload else None
            for action in self.last
            if isinstance(action, Answer)
        }

    def logged(self) -> str:
        return "\n".join(action.text for action in self.last if isinstance(action, Log))

    def has(self, kind: type[Any]) -> bool:
        return any(isinstance(action, kind) for action in self.last)

    def ready(self) -> None:
        """Brings the server of the handshake era up."""
        self.ask("initialize", "i", protocolVersion="2025-06-18", capabilities={"roots": {}})
        (handshake,) = self.sent()
        self.server({"id": handshake["id"], "result": {"protocolVersion": "2025-06-18"}})
        assert self.sent() == [{"jsonrpc": "2.0", "method": "notifications/initialized"}]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ready(world: World) -> World:
    world.ready()
    return world


def test_down_starts_and_initializes_with_the_clients_words(world: World) -> None:
    world.ask("initialize", protocolVersion="2025-03-26", capabilities={"sampling": {}})
    assert world.last[0] == Start(Era.HANDSHAKE)
    (sent,) = world.sent()
    assert sent["params"] == {"protocolVersion": "2025-03-26", "capabilities": {}}


def test_a_version_that_was_set_is_asked_for() -> None:
    world = World("2024-11-05")
    world.ask("initialize", protocolVersion="2025-03-26", capabilities={})
    assert world.sent()[0]["params"]["protocolVersion"] == "2024-11-05"
    other = World("2024-11-05")
    other.ask("tools/list")
    assert other.sent()[0]["params"]["protocolVersion"] == "2024-11-05"


def test_starting_holds_requests_back(world: World) -> None:
    world.ask("initialize", "a", protocolVersion="x")
    handshake = world.sent()[0]["id"]
    assert world.ask("tools/list", "b") == []
    assert world.ask("initialize", "c", protocolVersion="y") == []
    world.server({"id": handshake, "result": {"protocolVersion": "x"}})
    assert {token: answer["id"] for token, answer in world.answers().items()} == {
        b"1": "a",
        b"3": "c",
    }
    assert [sent["method"] for sent in world.sent()] == ["notifications/initialized", "tools/list"]


def test_ready_sends_and_restores(ready: World) -> None:
    ready.ask("tools/list", "same", "one")
    first = ready.sent()[0]["id"]
    ready.ask("tools/list", "same", "other")
    second = ready.sent()[0]["id"]
    assert first != second
    ready.server({"id": second, "result": {"n": 2}})
    assert ready.answers() == {b"3": {"id": "same", "result": {"n": 2}}}
    ready.server({"id": str(first), "error": {"code": 1}})  # some servers make texts of numbers
    assert ready.answers() == {b"2": {"id": "same", "error": {"code": 1}}}


def test_ready_answers_initialize_by_itself(ready: World) -> None:
    ready.ask("initialize", "later", protocolVersion="2024-11-05")
    assert ready.sent() == []
    assert ready.answers()[b"2"]["result"] == {"protocolVersion": "2025-06-18"}


def test_a_server_that_refuses_is_asked_again_next_time(world: World) -> None:
    world.ask("initialize", protocolVersion="x")
    handshake = world.sent()[0]["id"]
    world.ask("tools/list", 2)
    world.server({"id": handshake, "error": {"code": -32602, "message": "no"}})
    assert {answer["error"]["message"] for answer in world.answers().values()} == {"no"}
    world.ask("initialize", 3, protocolVersion="y")
    assert not world.has(Start)
    assert world.sent()[0]["params"] == {"protocolVersion": "y"}


def test_a_server_that_does_not_answer_initialize_is_ended(world: World) -> None:
    world.ask("tools/list")
    wake = world.session.next_wake()
    assert wake == world.now + 10.0
    world.tick(10.0)
    assert world.answers()[b"1"]["error"]["code"] == -32001
    world.tick(INITIALIZE_S - 10.0)
    assert Stop(Era.HANDSHAKE) in world.last
    world.handle(Ended(Era.HANDSHAKE, "was ended"))
    assert "starting it again in 0.1 s" in world.logged()


def test_a_death_fails_what_is_out_and_keeps_what_waits(ready: World) -> None:
    ready.ask("tools/call", "out")
    ready.handle(Ended(Era.HANDSHAKE, "ended with exit code 3"))
    assert "exit code 3" in ready.answers()[b"2"]["error"]["message"]
    assert ready.ask("tools/list", "waits") == []  # the pause is not over
    assert ready.tick(0.05) == []
    ready.tick(0.05)
    assert ready.last[0] == Start(Era.HANDSHAKE)
    assert ready.sent()[0]["params"]["protocolVersion"] == "2025-06-18"
    ready.server({"id": ready.sent()[0]["id"], "result": {}})
    assert [sent["method"] for sent in ready.sent()] == ["notifications/initialized", "tools/list"]


def test_pauses_grow_and_deaths_have_an_end(ready: World) -> None:
    pauses = []
    for _ in range(DEATHS_MAX):
        ready.handle(Ended(Era.HANDSHAKE, "died"))
        wake = ready.session.next_wake()
        assert wake is not None
        pauses.append(round(wake - ready.now, 3))
        ready.tick(wake - ready.now)
        assert ready.has(Start)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    ready.ask("tools/list", "x")
    ready.handle(Ended(Era.HANDSHAKE, "died"))
    assert ready.answers()[b"2"]["id"] == "x"
    assert ready.last[-1] == Exit(1)


def test_an_answer_between_two_deaths_makes_them_no_row(ready: World) -> None:
    for _ in range(2 * DEATHS_MAX):
        ready.ask("tools/list")
        ready.server({"id": ready.sent()[0]["id"], "result": {}})
        ready.handle(Ended(Era.HANDSHAKE, "died"))
        assert not ready.has(Exit)
        ready.tick(5.0)
        ready.server({"id": ready.sent()[0]["id"], "result": {}})


def test_a_program_that_cannot_be_started_ends_the_session(world: World) -> None:
    world.ask("tools/list")
    world.handle(Ended(Era.HANDSHAKE, "cannot be started", hopeless=True))
    assert world.answers()[b"1"]["error"]["code"] == -32000
    assert world.last[-1] == Exit(1)


def test_late_requests_are_answered_and_cancelled(ready: World) -> None:
    ready.ask("tools/call", "slow")
    number = ready.sent()[0]["id"]
    ready.tick(10.0)
    assert ready.answers()[b"2"]["error"]["code"] == -32001
    assert ready.sent()[0]["params"] == {"requestId": number, "reason": "timeout"}
    assert ready.server({"id": number, "result": {}}) == []  # too late
    assert ready.session.pending == 0
    assert ready.session.next_wake() is None


def cancel(world: World, identity: Any, client: str = "") -> None:
    params = {"requestId": identity, "reason": "why"}
    world.client({"method": "notifications/cancelled", "params": params}, client)


def test_cancelling(ready: World) -> None:
    ready.ask("tools/call", 5, "a")
    number = ready.sent()[0]["id"]
    ready.ask("tools/call", 5, "b")
    cancel(ready, "5", "a")  # another id than 5
    assert ready.answers() == {b"4": None}
    cancel(ready, 5, "a")
    assert ready.answers()[b"2"]["error"]["code"] == -32800
    assert ready.answers()[b"5"] is None
    assert ready.sent() == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": number, "reason": "why"},
        }
    ]
    cancel(ready, 5, "a")
    assert ready.sent() == []


def test_cancelling_what_may_be_another_clients_is_not_done(ready: World) -> None:
    ready.ask("tools/call", 5)
    ready.ask("tools/call", 5)
    cancel(ready, 5)
    assert ready.sent() == []
    assert "2 clients have a request 5 out" in ready.logged()


def test_cancelling_before_it_was_sent(world: World) -> None:
    world.ask("tools/call", 5)
    cancel(world, 5)
    assert world.answers()[b"1"]["error"]["code"] == -32800
    world.ask("initialize", 6)
    cancel(world, 6)  # the specification forbids it
    assert world.answers() == {b"4": None}


def test_notifications_of_clients(ready: World) -> None:
    for method in ("notifications/initialized", "notifications/roots/list_changed"):
        ready.client({"method": method})
        assert ready.sent() == []
        assert list(ready.answers().values()) == [None]
    ready.client({"method": "notifications/custom", "params": {"a": 1}})
    assert ready.sent() == [{"method": "notifications/custom", "params": {"a": 1}}]


def test_a_notification_before_the_server_is_ready_is_dropped(world: World) -> None:
    world.client({"method": "notifications/custom"})
    assert world.last == [Answer(b"1", b"")]


@pytest.mark.parametrize(
    "method", ["resources/subscribe", "resources/unsubscribe", "subscriptions/listen"]
)
def test_subscriptions_are_refused(ready: World, method: str) -> None:
    ready.ask(method)
    assert ready.answers()[b"2"]["error"]["code"] == -32601
    assert ready.sent() == []


def test_requests_of_a_server(ready: World) -> None:
    ready.server({"id": 9, "method": "ping"})
    assert ready.sent() == [{"jsonrpc": "2.0", "id": 9, "result": {}}]
    ready.server({"id": "e", "method": "elicitation/create"})
    assert ready.sent()[0]["error"]["code"] == -32601


def test_noise_of_a_server(ready: World) -> None:
    assert "ignored a line" in ready.server(b"Listening...")[0].text  # type: ignore[union-attr]
    assert "ignored a line" in ready.server(b"[]")[0].text  # type: ignore[union-attr]
    assert ready.server({"id": 4711, "result": {}}) == []
    ready.server({"id": None, "error": {"code": -32700}})
    assert "-32700" in ready.logged()
    ready.server(b"x" * 10_000)
    assert len(ready.logged()) < 3000


def test_more_requests_than_a_worker_can_owe(ready: World) -> None:
    for number in range(PENDING_MAX):
        ready.ask("tools/call", number)
    ready.ask("tools/call", "more")
    assert "waiting" in next(iter(ready.answers().values()))["error"]["message"]


def test_each_era_has_a_server_of_its_own(ready: World) -> None:
    ready.ask("tools/list", 1, _meta=ENVELOPE)
    assert ready.last[0] == Start(Era.MODERN)
    (sent,) = ready.last[1:]
    assert isinstance(sent, Send)
    assert sent.era is Era.MODERN
    number = json.loads(sent.line)["id"]
    ready.server({"id": number, "result": {"modern": True}}, Era.MODERN)
    assert ready.answers()[b"2"]["result"] == {"modern": True}
    ready.ask("initialize", _meta=ENVELOPE)
    assert ready.answers()[b"3"]["result"]["protocolVersion"] == "2025-06-18"


def test_a_discovery_promises_no_notifications(world: World) -> None:
    world.ask("server/discover", _meta=ENVELOPE)
    capabilities = {"tools": {"listChanged": True}, "logging": {}}
    result = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
    world.server({"id": 1, "result": result}, Era.MODERN)
    told = world.answers()[b"1"]["result"]["capabilities"]
    assert told == {"tools": {"listChanged": False}, "logging": {}}


def test_an_older_server_is_asked_once(world: World) -> None:
    world.ask("server/discover", _meta=ENVELOPE)
    world.server({"id": 1, "error": {"code": -32601, "message": "?"}}, Era.MODERN)
    assert Stop(Era.MODERN) in world.last
    world.handle(Ended(Era.MODERN, "ended with exit code 0"))
    assert world.last == []
    world.ask("tools/list", _meta=ENVELOPE)
    assert world.answers()[b"2"]["error"]["code"] == -32601
    assert not world.has(Start)


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (ENVELOPE, -32022),  # the server is modern, and names its versions
        ({f"{META}protocolVersion": "x"}, -32602),  # the client's fault
    ],
)
def test_other_errors_of_a_discovery_say_nothing(
    world: World, envelope: dict[str, Any], code: int
) -> None:
    world.ask("server/discover", _meta=envelope)
    world.server({"id": 1, "error": {"code": code, "message": "?"}}, Era.MODERN)
    assert not world.has(Stop)
    world.ask("server/discover", _meta=ENVELOPE)
    assert world.sent()


def test_an_older_server_that_dies_of_the_question(world: World) -> None:
    world.ask("server/discover", _meta=ENVELOPE)
    world.handle(Ended(Era.MODERN, "ended with exit code 1"))
    assert world.answers()[b"1"]["error"]["code"] == -32000
    world.ask("server/discover", _meta=ENVELOPE)
    assert world.answers()[b"2"]["error"]["code"] == -32601
