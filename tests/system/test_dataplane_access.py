"""Who may do what, and the books: everything that was offered has one outcome that is counted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drop._fast.reactor import MESSAGE
from drop.testing.reference import Type, named
from system.dataplane import Dataplane, balance
from system.wire import Wire, options_of, statuses

pytestmark = pytest.mark.system

StartPlane = Callable[..., Dataplane]


def answer_control(plane: Dataplane, pool: int, wire: Wire) -> tuple[str, bytes]:
    """A control request, answered by this test in the place of the control plane."""
    before = len([each for each in plane.told if each[0] == MESSAGE])
    wire.call(1, "$control", b'{"op":"x"}')
    told = plane.wait(MESSAGE, pool, count=before + 1)[-1]
    assert told[3] == b'{"op":"x"}'
    plane.reactor.answer(told[2], 0, b'{"ok":true}')
    return wire.answer(1)


def test_tokens(start_plane: StartPlane, tmp_path: Path) -> None:
    plane = start_plane(token=b"secret")
    plane.listen_unix(tmp_path / "socket")
    plane.pool("p")
    control = plane.pool("$control", workers=0, kind="control")
    for wrong in (b"", b"secre", b"secret!", b"Secret", b"x" * 1000):
        with Wire(plane.port, token=wrong) as wire:
            assert wire.welcome.type == Type.GOAWAY
            assert wire.welcome.code == 9
            assert wire.rest() == []
    with Wire(plane.port, token=b"secret") as wire:
        assert options_of(wire)["authenticated"]
        assert wire.ask("p", b"x") == ("ok", b"x")
        assert answer_control(plane, control, wire) == ("ok", b'{"ok":true}')
    with Wire(tmp_path / "socket") as wire:
        assert options_of(wire)["authenticated"]
        assert answer_control(plane, control, wire) == ("ok", b'{"ok":true}')
    assert plane.statistics()["connections"]["unauthorized"] == 5


def test_control_is_not_for_tcp_without_a_token(plane: Dataplane, tmp_path: Path) -> None:
    plane.listen_unix(tmp_path / "socket")
    control = plane.pool("$control", workers=0, kind="control")
    with plane.connect(token=b"ignored") as wire:
        assert not options_of(wire)["authenticated"]
        assert wire.ask("$control", b"{}")[0] == "unauthorized"
        wire.cast("$control", b"{}")
        wire.publish(2, "$control", b"{}")
        assert wire.answer(2)[0] == "unauthorized"
        wire.send(named(Type.SUBSCRIBE, 3, "$control"))
        assert wire.answer(3)[0] == "unauthorized"
        wire.cancel(4, "$control")
        wire.ping()
    with Wire(tmp_path / "socket") as wire:
        assert answer_control(plane, control, wire) == ("ok", b'{"ok":true}')
    assert len(plane.wait(MESSAGE)) == 1
    assert plane.statistics()["refused"] == {"unauthorized": 4}
    balance(plane.figures("$control"))


def test_control_requests_have_deadlines_and_one_answer(plane: Dataplane, tmp_path: Path) -> None:
    plane.listen_unix(tmp_path / "socket")
    control = plane.pool("$control", workers=0, kind="control")
    with Wire(tmp_path / "socket") as wire:
        wire.call(1, "$control", b"late", timeout_ms=30)
        (told,) = plane.wait(MESSAGE, control)
        assert wire.answer(1)[0] == "timeout"
        plane.reactor.answer(told[2], 0, b"too late")
        assert answer_control(plane, control, wire)[0] == "ok"
        plane.reactor.answer(told[2], 0, b"again")
        wire.ping()
    balance(plane.figures("$control"))


# ---- books --------------------------------------------------------------------------------------


def test_what_is_refused_before_it_reaches_a_pool(plane: Dataplane) -> None:
    plane.pool("echo")
    with plane.connect() as wire:
        status, text = wire.ask("ecko", b"x")
        assert (status, b"echo" in text) == ("no_pool", True)
        wire.cast("absent", b"x")
        wire.send(named(Type.SUBSCRIBE, 2, "echo", b"f" * 1025))
        assert wire.answer(2)[0] == "bad_request"
        wire.send(named(Type.STATISTICS, 3, "absent"))
        assert wire.answer(3)[0] == "no_pool"
    assert plane.statistics()["refused"] == {"no_pool": 3, "bad_request": 1}
    assert balance(plane.figures("echo")).total() == 0


def test_subscriptions_of_one_connection_are_bounded(plane: Dataplane) -> None:
    plane.pool("p")
    with plane.connect() as wire:
        wire.send(*(named(Type.SUBSCRIBE, id, "p", b"never") for id in range(1025)))
        answers = wire.answers(1025)
        assert answers.pop(1024)[0] == "overloaded"
        assert statuses(answers) == {"ok": 1024}
    balance(plane.figures("p"))


def test_statistics_over_the_connection(plane: Dataplane) -> None:
    plane.pool("a")
    plane.pool("b")
    with plane.connect() as wire:
        wire.ask("a", b"four")
        wire.send(named(Type.STATISTICS, 1))
        whole = read_statistics(wire)
        wire.send(named(Type.STATISTICS, 1, "a"))
        one = read_statistics(wire)
    assert {pool["name"] for pool in whole["pools"]} == {"a", "b"}
    (figures,) = one["pools"]
    assert (figures["messages"], figures["answers"]) == (1, 1)
    assert (figures["bytes_in"], figures["bytes_out"]) == (4, 4)
    latency = figures["latency_us"]
    assert latency["count"] == 1
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"] * 1.04


def read_statistics(wire: Wire) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(wire.answer(1)[1])
    return document
