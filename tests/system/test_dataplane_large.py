"""Payloads up to the limit through every kind: there, back, from one pool into the next, from the
dead, and to clients that do not read. What is held is measured by the node's own budget."""

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from drop.testing.reference import Type, request
from system.dataplane import Dataplane, balance, program
from system.exec_checks import StartPlane, nothing_is_left
from system.wire import statuses

pytestmark = pytest.mark.system

MIB = 1 << 20
KINDS = ["line", "frame", "async", "exec"]
COMMANDS = {"line": ["cat"], "frame": program("frames", "echo"), "async": ["cat"], "exec": ["cat"]}


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    with nothing_is_left():
        yield


def start(plane: Dataplane, name: str, kind: str, *, workers: int = 1, **options: object) -> int:
    """A pool whose function is the identity."""
    if kind == "exec":
        return plane.exec_pool(name, COMMANDS[kind], at_most=2, **options)
    options = {"inflight": 4} | options
    return plane.pool(name, COMMANDS[kind], kind=kind, workers=workers, **options)


def text(size: int, seed: int = 0) -> bytes:
    """Without a newline, and different at every place where a cut would be likely."""
    block = b"%d:" % seed + bytes(range(32, 127)) * 11
    return (block * (size // len(block) + 1))[:size]


def comes_back(plane: Dataplane) -> None:
    """All the memory, but for what an idle node needs."""
    plane.until(lambda: plane.statistics()["memory"]["in_use"] < MIB // 4)


@pytest.mark.parametrize("kind", KINDS)
def test_up_to_the_limit_and_no_byte_more(start_plane: StartPlane, kind: str) -> None:
    """In a budget that has no place for it twice over."""
    plane = start_plane(payload_max=64 * MIB, memory_max=192 * MIB)
    start(plane, "p", kind)
    payload = text(64 * MIB)
    with plane.connect() as wire:
        assert wire.ask("p", payload) == ("ok", payload)
        status, _ = wire.ask("p", payload + b"x")
        assert status == "too_large"
        assert wire.ask("p", b"small") == ("ok", b"small")
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_every_size_around_the_steps(start_plane: StartPlane, kind: str) -> None:
    plane = start_plane(payload_max=8 * MIB)
    start(plane, "p", kind)
    steps = (64 << 10, 256 << 10, MIB, 4 * MIB)
    with plane.connect() as wire:
        for size in [step + by for step in steps for by in (-21, -20, -5, -4, -1, 0, 1, 5)]:
            payload = text(size)
            assert wire.ask("p", payload) == ("ok", payload), size
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_with_small_ones_between(start_plane: StartPlane, kind: str) -> None:
    """In one write, so that frames end and begin within one read."""
    plane = start_plane(payload_max=8 * MIB)
    start(plane, "p", kind)
    payloads = [text(size, n) for n, size in enumerate([3, MIB, 3, 0, 2 * MIB, 5 * MIB, 1] * 2)]
    with plane.connect() as wire:
        writer = threading.Thread(target=wire.call_each, args=["p", payloads])
        writer.start()
        answers = wire.answers(len(payloads))
        writer.join()
    assert answers == {n: ("ok", payload) for n, payload in enumerate(payloads)}
    comes_back(plane)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_from_one_pool_into_the_next(plane: Dataplane, source: str, target: str) -> None:
    start(plane, "p", source)
    start(plane, "q", target)
    plane.subscribe("p", "q")
    payload = text(700_000)
    with plane.connect() as wire, plane.connect() as watcher:
        watcher.subscribe(1, "q", wait=True)
        wire.cast("p", payload)
        assert watcher.receive().body == payload
        assert wire.ask("p", payload) == ("ok", payload)
        assert watcher.receive().body == payload
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_many_clients_at_once(start_plane: StartPlane, kind: str) -> None:
    plane = start_plane(payload_max=8 * MIB, memory_max=512 * MIB)
    start(plane, "p", kind, workers=2)
    wrong: list[int] = []

    def call_on(number: int) -> None:
        payload = text(4 * MIB + number, number)
        with plane.connect() as wire:
            for _ in range(4):
                if wire.ask("p", payload) != ("ok", payload):
                    wrong.append(number)

    threads = [threading.Thread(target=call_on, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert balance(plane.figures("p"))["answered"] == 24
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_budget_refuses_and_lives(start_plane: StartPlane, kind: str) -> None:
    """More than fits is asked for at the same time: each call is answered, by itself or refused."""
    plane = start_plane(payload_max=8 * MIB, memory_max=24 * MIB)
    start(plane, "p", kind, workers=2)
    found: list[str] = []

    def call_on(number: int) -> None:
        payload = text(7 * MIB, number)
        with plane.connect() as wire:
            for _ in range(3):
                status, answer = wire.ask("p", payload)
                found.append(status if status != "ok" or answer == payload else "wrong")

    threads = [threading.Thread(target=until_cut(call_on), args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) <= {"ok", "overloaded", "error"}
    plane.until(lambda: balance(plane.figures("p"))["there"] == 0)
    comes_back(plane)


def until_cut(call_on: Callable[[int], None]) -> Callable[[int], None]:
    """A client may be cut, or told to go away, when there is no memory for what it reads."""

    def run(number: int) -> None:
        try:
            call_on(number)
        except (EOFError, ConnectionError, AssertionError):
            return

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_does_not_read_its_answer(start_plane: StartPlane, kind: str) -> None:
    plane = start_plane(payload_max=32 * MIB, slow_client_ms=300)
    start(plane, "p", kind)
    payload = text(30 * MIB)
    with plane.connect(receive_buffer=4096) as slow, plane.connect() as wire:
        slow.call(1, "p", payload)
        plane.until(lambda: plane.statistics()["connections"]["cut_slow"] == 1)
        assert wire.ask("p", b"small") == ("ok", b"small")
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_vanishes_while_it_sends(start_plane: StartPlane, kind: str) -> None:
    plane = start_plane(payload_max=32 * MIB)
    start(plane, "p", kind)
    frame = request(Type.CALL, 1, "p", text(30 * MIB)).encode()
    for cut in (1000, MIB, 20 * MIB, len(frame) - 1):
        wire = plane.connect()
        wire.socket.sendall(frame[:cut])
        wire.vanish()
    plane.until(lambda: plane.statistics()["connections"]["open"] == 0)
    comes_back(plane)
    assert plane.figures("p")["messages"] == 0


@pytest.mark.parametrize("kind", ["line", "frame", "async"])
@pytest.mark.parametrize("retries", [0, 1])
def test_back_from_the_dead(start_plane: StartPlane, kind: str, retries: int) -> None:
    """The worker takes half of it and is killed; whoever gets it next gets all of it."""
    plane = start_plane(payload_max=32 * MIB, memory_max=128 * MIB)
    pool = plane.pool("p", workers=0, kind=kind, retries=retries)
    worker = plane.worker(pool, ["sh", "-c", "head -c 5000000 > /dev/null; kill -9 $$"])
    payload = text(30 * MIB)
    with plane.connect() as wire:
        writer = threading.Thread(target=wire.call, args=[1, "p", payload])
        writer.start()
        assert plane.wait_gone(pool)[0][1] == 1
        writer.join()
        plane.processes[worker].wait()
        plane.worker(pool, COMMANDS[kind])
        status, answer = wire.answer(1)
    if retries or kind == "async":  # which was not sent whole, so nothing can have come of it
        assert (status, answer == payload) == ("ok", True)
    else:
        assert status == "error"
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_and_too_late(start_plane: StartPlane, kind: str) -> None:
    plane = start_plane(payload_max=32 * MIB)
    start(plane, "p", kind)
    payload = text(30 * MIB)
    with plane.connect() as wire:
        for number in range(4):
            wire.send(request(Type.CALL, number, "p", payload, 1 if number % 2 else 0))
            if not number % 2:
                wire.cancel(number, "p")
        answers = wire.answers(4)
    assert set(statuses(answers)) <= {"ok", "cancelled", "timeout"}
    plane.until(lambda: plane.figures("p")["inflight"] == 0)
    assert balance(plane.figures("p")).total() == 4
    comes_back(plane)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_is_removed_with_large_ones_in_it(start_plane: StartPlane, kind: str) -> None:
    plane = start_plane(payload_max=32 * MIB)
    pool = start(plane, "p", kind)
    with plane.connect() as wire:
        wire.call_each("p", [text(10 * MIB, number) for number in range(5)])
        plane.reactor.pool_remove(pool)
        answers = wire.answers(5)
    assert set(statuses(answers)) <= {"ok", "draining"}
    comes_back(plane)


def test_random_sizes_in_both_directions(start_plane: StartPlane) -> None:
    """Binary, through both kinds that take it, with many under way."""
    plane = start_plane(payload_max=4 * MIB)
    start(plane, "f", "frame", workers=2)
    start(plane, "e", "exec")
    sizes = [int.from_bytes(os.urandom(3), "big") % (3 * MIB) for _ in range(30)]
    payloads = [os.urandom(size) for size in sizes]
    with plane.connect() as wire:

        def send() -> None:
            for number, payload in enumerate(payloads):
                wire.call(number, "fe"[number % 2], payload)

        writer = threading.Thread(target=send)
        writer.start()
        answers = wire.answers(30)
        writer.join()
    assert answers == {n: ("ok", payload) for n, payload in enumerate(payloads)}
    comes_back(plane)


def test_a_frame_is_refused_before_it_came(start_plane: StartPlane) -> None:
    """One that is announced too large costs nothing, and the connection goes on behind it."""
    plane = start_plane(payload_max=MIB)
    start(plane, "p", "line")
    with plane.connect() as wire:
        wire.call(1, "p", text(40 * MIB))
        assert wire.answer(1)[0] == "too_large"
        assert wire.ask("p", b"x") == ("ok", b"x")
    comes_back(plane)
