"""The native herald from Python: against the reference codec, and against another herald."""

import os
import select
import socket

import pytest

from beacon_tools import (
    INTERVAL_MS,
    KEY,
    OTHER_KEY,
    Node,
    alone,
    announce,
    give,
    met,
    next_happening,
    next_happenings,
    open_socket,
    running,
)
from drop._fast.herald import Conflict, Heard, Herald, Left
from drop.testing.beacons import SOLICIT, Beacon, Type, encode, key_id


def test_the_reference_codec_reads_what_the_herald_says() -> None:
    with alone() as node:
        node.herald.set_load(load=150, cpus=2, workers=7, memory_mib=1 << 40)
        first = node.hear(lambda beacon: beacon.type is Type.BEACON)
        said = node.hear(lambda beacon: beacon.memory_mib > 0)
    assert (first.sequence, first.flags, first.nonce) == (1, SOLICIT, 0)
    assert said == Beacon(
        node_id=b"\x01" * 16,
        incarnation=5,
        session=node.herald.session,
        sequence=said.sequence,
        flags=said.flags,
        name="node-1",
        namespace="default",
        version="1.2.3",
        port=8085,
        addresses=("127.0.0.1", "::1"),
        load=150,
        cpus=2,
        workers=7,
        memory_mib=0xFFFFFFFF,
    )


def test_the_herald_reads_what_the_reference_codec_says() -> None:
    with alone() as node:
        said = {
            "name": "n" * 64,
            "namespace": "s" * 64,
            "version": "v" * 16,
            "addresses": (*(f"fe80::{number}" for number in range(1, 8)), "10.0.0.1"),
            "load": 65535,
            "cpus": 64,
            "workers": 4_000_000_000,
            "memory_mib": 1_000_000,
        }
        node.beacon = node.beacon.next(**said)
        peer = node.meet().peer
        assert (peer.node_id, peer.incarnation, peer.session) == (b"\xc8" * 16, 10, 77)
        assert {name: getattr(peer, name) for name in said} == said
        assert (peer.port, peer.source, peer.key_id) == (1234, "127.0.0.1", key_id(KEY).hex())
        assert [each.node_id for each in node.herald.peers()] == [peer.node_id]
        assert node.herald.unverified() == []


def test_two_heralds_find_each_other() -> None:
    with running(1) as one, running(2) as two:
        sockets = open_socket(), open_socket()
        places = [each.getsockname() for each in sockets]
        for herald, own, other in zip((one, two), sockets, reversed(places), strict=True):
            give(herald, own, other)
        heard = [next_happening(herald) for herald in (one, two)]
        assert [each.peer.name for each in heard if isinstance(each, Heard)] == ["node-2", "node-1"]
        announce(two, "renamed")
        assert next_happening(one).peer.name == "renamed"  # type: ignore[union-attr]
        two.leave()
        assert next_happening(one) == Left(b"\x02" * 16, 5)
        assert one.peers() == []


def test_one_who_knows_the_other_is_enough() -> None:
    with running(1) as one, running(2) as two:
        first, second = open_socket(), open_socket()
        there = second.getsockname()
        give(two, second, peers_too=True)  # it names nobody, and answers whom it knows
        give(one, first, there)
        assert isinstance(next_happening(one), Heard)
        assert isinstance(next_happening(two), Heard)
        one.set_sockets([])
        assert two.probe(b"\x01" * 16)


def heard_after_conflicts(herald: Herald) -> bytes:
    """Who is heard first: a clone is told again each time that it is met, until one gives way."""
    while True:
        for happening in next_happenings(herald):
            if isinstance(happening, Heard):
                return happening.peer.node_id
            assert isinstance(happening, Conflict)


def test_a_clone_is_a_conflict_for_both() -> None:
    with running(1) as one, running(1, incarnation=9) as two:
        first, second = open_socket(), open_socket()
        places = first.getsockname(), second.getsockname()
        give(one, first, places[1])
        give(two, second, places[0])
        assert next_happening(one) == Conflict(9, two.session, "127.0.0.1")
        assert next_happening(two) == Conflict(5, one.session, "127.0.0.1")
        assert one.peers() == two.peers() == []
        two.set_identity(node_id=b"\x03" * 16, incarnation=10)
        assert heard_after_conflicts(one) == b"\x03" * 16
        assert heard_after_conflicts(two) == b"\x01" * 16  # the clone is a node like others


def test_keys_change_without_a_gap() -> None:
    with alone() as node:
        assert node.meet().peer.key_id == key_id(KEY).hex()
        node.herald.set_keys([KEY, OTHER_KEY])
        node.key = OTHER_KEY
        node.say(port=2)
        happening = next_happening(node.herald)
        assert isinstance(happening, Heard)
        assert happening.peer.key_id == key_id(OTHER_KEY).hex()
        node.herald.set_keys([OTHER_KEY, KEY])
        node.say(Type.PROBE, nonce=9)
        assert node.hear(lambda beacon: beacon.nonce == 9)
        node.herald.set_keys([OTHER_KEY])
        node.key = KEY
        node.say(port=3)
        assert node.until(lambda now: now["foreign"] == 1)
        assert node.herald.peers()[0].port == 2


def test_without_keys_nothing_is_said_or_heard() -> None:
    with alone(keys=()) as node:
        for _ in range(3):
            node.say(Type.PROBE, nonce=9)
        while node.herald.statistics()["foreign"] < 3:
            select.select([], [], [], 0)
        assert node.herald.statistics()["sent"] == 0
        node.herald.set_keys([KEY])
        assert node.hear(lambda beacon: True).flags == SOLICIT


def test_recordings_bring_nobody_to_life_after_a_restart() -> None:
    with met() as node:
        recorded = [node.say() for _ in range(5)]
        assert node.until(lambda now: now["accepted"] == 7)
        recorded.append(node.say(Type.LEAVE))
        assert isinstance(next_happening(node.herald), Left)
        for data in recorded:
            node.send(data)
        assert node.until(lambda now: now["replayed"] == 6)
        assert node.herald.take() == []
    with alone() as node:  # the same node again, which knows nothing
        for data in recorded:
            node.send(data)
        node.until(lambda now: now["accepted"] == 6)
        assert [each.name for each in node.herald.unverified()] == ["other"]
        node.until(lambda now: now["evicted"] == 1)
        assert node.herald.take() == node.herald.peers() == node.herald.unverified() == []


def test_silence_is_told_and_a_probe_ends_it() -> None:
    with met() as node:
        while not (silent := node.herald.silent(9 * INTERVAL_MS)):
            node.socket.recv(2000)
        assert silent[0][0] == node.beacon.node_id
        assert silent[0][1] >= 9 * INTERVAL_MS
        assert node.herald.probe(node.beacon.node_id)
        node.say(nonce=node.hear_probe())
        assert isinstance(
            next_happening(node.herald), Heard
        )  # after so long it had to prove itself
        assert node.herald.silent(10_000) == []
        assert node.herald.forget(node.beacon.node_id)
        assert not node.herald.probe(node.beacon.node_id)


def test_what_is_no_argument() -> None:
    with running(1) as herald:
        for keys in ([b"short"], [KEY] * 3):
            with pytest.raises(ValueError, match="32 bytes"):
                herald.set_keys(keys)
        with pytest.raises(ValueError, match="A-Z"):
            announce(herald, "no name")
        with pytest.raises(ValueError, match="at most 8 addresses"):
            herald.announce(name="n", namespace="", version="", port=1, addresses=["::1"] * 9)
        with pytest.raises(ValueError, match="does not appear to be"):
            herald.set_sockets([(0, [("example", 1, 0)])])
        with pytest.raises(ValueError, match="at most 8 sockets"):
            herald.set_sockets([(0, [])] * 9)
        with pytest.raises(OSError, match="Bad file descriptor"):
            herald.set_sockets([(-1, [])])
        with pytest.raises(ValueError, match="not all zero"):
            herald.probe(bytes(16))
    for wrong in ({"interval_ms": 1}, {"peers_max": 0}, {"incarnation": 0}):
        options = {"interval_ms": 50, "incarnation": 1, **wrong}
        with pytest.raises(ValueError, match="expected|at least"):
            Herald(node_id=b"i" * 16, **options)


def test_stop_closes_what_it_was_given() -> None:
    with running(1) as herald:
        own = open_socket()
        number = own.fileno()
        give(herald, own)
        herald.stop()
        herald.stop()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        with pytest.raises(OSError, match="cannot start"):
            herald.start()


def test_groups_and_ipv6() -> None:
    """Multicast over the loopback interface, as it is joined by whoever hands the socket over."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        made.bind(("::1", 0))
    except OSError as error:
        made.close()
        pytest.skip(f"no IPv6 on this machine: {error}")
    with running(1) as one, running(2) as two:
        other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        other.bind(("::1", 0))
        places = made.getsockname()[:2], other.getsockname()[:2]
        give(one, made, places[1])
        give(two, other, places[0])
        happening = next_happening(one)
        assert isinstance(happening, Heard)
        assert happening.peer.source == "::1"


def test_a_forged_packet_changes_nothing() -> None:
    with met() as node:
        before = node.herald.peers()[0]
        forged = encode(node.beacon.next(port=9, sequence=99), KEY)
        node.send(forged[:-1] + bytes([forged[-1] ^ 1]))
        assert node.until(lambda now: now["forged"] == 1)
        after = node.herald.peers()[0]
        assert after._replace(silent_ms=0) == before._replace(silent_ms=0)


def test_a_full_table_says_so() -> None:
    with running(1, peers_max=1) as herald:
        node = Node(herald)
        node.meet()
        node.beacon = Beacon(b"z" * 16, 10, 77, 0)
        node.say()
        assert node.until(lambda now: now["full"] == 1)["entries"] == 1
        node.close()
