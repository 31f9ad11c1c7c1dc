"""kill -9 of workers under load: each call has one answer, only what the dead worked on fails."""

import itertools
from collections import Counter

import pytest

from system.dataplane import Dataplane, balance, program
from system.wire import Wire

pytestmark = pytest.mark.system

CALLS = 6000
KILL_EVERY = 300  # answers
CONNECTIONS = 3


def payload(connection: int, number: int) -> bytes:
    return b"%d-%d-" % (connection, number) + b"x" * (number % 200)


def load(plane: Dataplane, pool: int) -> tuple[Counter[str], int]:
    """Calls on all connections, with a kill every so many answers: the statuses, and the kills."""
    wires = [plane.connect() for _ in range(CONNECTIONS)]
    for index, wire in enumerate(wires):
        wire.call_each("p", (payload(index, number) for number in range(CALLS)))
    seen: Counter[str] = Counter()
    killed: set[int] = set()
    turns = itertools.cycle(range(CONNECTIONS))
    for _ in range(CALLS * CONNECTIONS // KILL_EVERY):
        index = next(turns)
        seen += answers_of(index, wires[index])
        if killed >= set(plane.processes):  # the next one starts when the last is known dead
            plane.wait_gone(pool, count=len(killed))
        victim = min(set(plane.processes) - killed)
        killed.add(victim)
        plane.kill(victim)
    for wire in wires:
        wire.ping()  # nothing came behind the answers
        wire.close()
    plane.wait_gone(pool, count=len(killed))
    return seen, len(killed)


def answers_of(index: int, wire: Wire) -> Counter[str]:
    """The next answers of a connection; each must be its own call's, and the first to it."""
    seen: Counter[str] = Counter()
    known: set[int] = wire.__dict__.setdefault("known", set())
    for id, (status, body) in wire.answers(KILL_EVERY).items():
        assert id not in known
        known.add(id)
        assert status != "ok" or body == payload(index, id)
        seen[status] += 1
    return seen


@pytest.mark.parametrize("inflight", [1, 64])
def test_a_kill_costs_at_most_the_message_at_the_head(plane: Dataplane, inflight: int) -> None:
    pool = plane.pool("p", workers=3, respawn=True, inflight=inflight, queue=CALLS * CONNECTIONS)
    seen, kills = load(plane, pool)
    assert seen.total() == CALLS * CONNECTIONS
    assert set(seen) <= {"ok", "error"}
    assert seen["error"] <= kills
    books = balance(plane.figures("p"))
    assert books == {"answered": seen["ok"], "failed": seen["error"], "dropped": 0, "there": 0}
    assert plane.statistics()["pending"] == 0


def test_with_retries_a_kill_costs_nothing(plane: Dataplane) -> None:
    pool = plane.pool(
        "p", workers=3, respawn=True, inflight=64, queue=CALLS * CONNECTIONS, retries=1000
    )
    seen, _ = load(plane, pool)
    assert seen == {"ok": CALLS * CONNECTIONS}


def test_kills_of_frame_workers_while_they_have_large_messages(plane: Dataplane) -> None:
    """The bytes that return to the mailbox are more than a pipe holds."""
    sizes = [1000, 100_000, 300_000, 0, 70_000] * 40
    messages = [bytes([i % 251]) * size for i, size in enumerate(sizes)]
    command = program("frames", "echo")
    pool = plane.pool(
        "p", command, workers=2, respawn=True, kind="frame", inflight=16, retries=1000
    )
    with plane.connect() as wire:
        sent = wire.call_each("p", messages[:20])
        for first in range(20, len(messages) + 20, 10):
            for id, answer in wire.answers(10).items():
                assert answer == ("ok", messages[id])
            plane.kill(max(plane.processes))
            sent += wire.call_each("p", messages[first : first + 10], first)
        assert sent == len(messages)
        wire.ping()
    assert plane.wait_gone(pool)
