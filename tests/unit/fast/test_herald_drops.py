"""Every reason to drop a packet, provoked by the reference codec and counted by the herald."""

from collections.abc import Callable

import pytest

from beacon_tools import KEY, Node, met
from drop.testing.beacons import Beacon, Dropped, Type, decode, encode, tag

Make = Callable[[Node], bytes]


def changed(at: int, value: int) -> Make:
    """A good packet in which one byte was changed and signed again."""

    def make(node: Node) -> bytes:
        data = bytearray(encode(node.beacon.next(), KEY))
        data[at] = value
        return bytes(data[:-16]) + tag(bytes(data[:-16]), KEY)

    return make


def said(**fields: object) -> Make:
    return lambda node: encode(node.beacon.next(**fields), KEY)


def clipped(length: int) -> Make:
    return lambda node: encode(node.beacon.next(), KEY)[:length]


ROWS: list[tuple[str, Make]] = [
    ("truncated", lambda node: b""),
    ("truncated", clipped(11)),
    ("truncated", clipped(96)),
    ("truncated", changed(7, 255)),
    ("oversized", lambda node: encode(node.beacon.next(), KEY) + b"x"),
    ("oversized", lambda node: bytes(9000)),
    ("magic", changed(3, 0)),
    ("version", changed(4, 2)),
    ("malformed", changed(5, 0)),
    ("malformed", changed(12, 1)),
    ("malformed", changed(76, 65)),
    ("malformed", changed(79, 9)),
    ("malformed", changed(80, 32)),
    ("malformed", said(node_id=bytes(16))),
    ("malformed", said(incarnation=0)),
    ("malformed", said(sequence=0)),
    ("malformed", said(type=Type.PROBE)),
    ("malformed", said(type=Type.LEAVE, nonce=1)),
    ("foreign", lambda node: encode(node.beacon.next(), b"f" * 32)),
    ("forged", lambda node: encode(node.beacon.next(), KEY)[:-16] + bytes(16)),
    ("replayed", lambda node: encode(node.beacon, KEY)),
    ("stale", said(incarnation=9)),
    ("stale", said(session=76)),
]


@pytest.mark.parametrize(("reason", "make"), ROWS, ids=[reason for reason, _ in ROWS])
def test_a_reason_is_counted(reason: str, make: Make) -> None:
    with met() as node:
        data = make(node)
        before = node.herald.statistics()
        node.send(data)
        after = node.until(lambda now: now["received"] > before["received"])
        counted = {name for name in after if after[name] != before[name]}
        assert counted - {"sent", "received"} == {reason}
        assert after[reason] == before[reason] + 1
        if reason not in {"replayed", "stale"}:  # for which one needs to know the node
            with pytest.raises(Dropped, match=reason):
                decode(data, [KEY])


def test_our_own_packets_are_no_news() -> None:
    with met() as node:
        node.send(node.socket.recv(2000))
        assert node.until(lambda now: now["own"] == 1)["entries"] == 1


def test_good_packets_are_read_by_both() -> None:
    with met() as node:
        for beacon in (node.beacon.next(), Beacon(b"q" * 16, 1, 2, 3, name="x")):
            assert decode(encode(beacon, KEY), [b"f" * 32, KEY]) == beacon
        accepted = node.herald.statistics()["accepted"]
        node.say()
        assert node.until(lambda now: now["accepted"] == accepted + 1)
