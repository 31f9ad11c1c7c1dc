"""Which interface is chosen, table by table, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drop.errors import ConfigurationError
from drop.host.interfaces import (
    ADDRESSES_MAX,
    Choice,
    DefaultRoute,
    Interface,
    Wanted,
    choose,
    document,
    ranked,
)

LO = Interface("lo", 1, True, True, False, ("127.0.0.1", "::1"), "00:00:00:00:00:00", 65536)
ETH0 = Interface("eth0", 2, True, False, True, ("192.168.50.4",), "02:00:00:00:00:02", 1500)
ETH1 = Interface("eth1", 3, True, False, True, ("2001:db8::4",), "02:00:00:00:00:03", 1500)
TUN0 = Interface("tun0", 4, True, False, False, ("10.8.0.2",), "", 1420)
ALL = [LO, ETH0, ETH1, TUN0]
DOWN, BARE = replace(ETH0, up=False), replace(ETH0, addresses=())

VIA_ETH0 = DefaultRoute(2, 4, 100, "192.168.50.1")
VIA_ETH1 = DefaultRoute(3, 6, 50, "fe80::1")
VIA_TUN0 = DefaultRoute(4, 4, 50, None)
VIA_NOWHERE = DefaultRoute(9, 4, 0, "192.0.2.1")


@pytest.mark.parametrize(
    ("interfaces", "routes", "chosen"),
    [
        (ALL, [VIA_ETH0], "eth0"),
        (ALL, [VIA_ETH0, VIA_TUN0], "tun0"),  # the lower metric
        (ALL, [VIA_ETH0, VIA_ETH1], "eth0"),  # IPv4 first, whatever the metrics
        (ALL, [VIA_ETH1], "eth1"),
        (ALL, [VIA_NOWHERE, VIA_ETH0], "eth0"),  # an interface that is gone meanwhile
        (ALL, [replace(VIA_ETH0, metric=50), VIA_TUN0], "eth0"),  # the first of two alike
        ([LO, DOWN, ETH1], [VIA_ETH0, VIA_ETH1], "eth1"),
        ([LO, BARE, ETH1], [VIA_ETH0, VIA_ETH1], "eth1"),
        ([LO, DOWN, ETH1], [VIA_ETH0], "lo"),
        ([LO, BARE], [VIA_ETH0], "lo"),
        (ALL, [], "lo"),
        ([LO], [DefaultRoute(1, 4, 0, None)], "lo"),
        ([replace(LO, up=False), ETH0], [], None),
        ([], [], None),
    ],
)
def test_unless_named_the_default_route_decides(
    interfaces: list[Interface], routes: list[DefaultRoute], chosen: str | None
) -> None:
    choice = choose(interfaces, routes, None)
    assert name(choice) == chosen
    assert len(choice.candidates) == len(interfaces)
    assert [each.interface.name for each in choice.candidates if "chosen" in each.verdict] == (
        [chosen] if chosen else []
    )


@pytest.mark.parametrize(
    ("interfaces", "wanted", "chosen"),
    [
        (ALL, "eth1", "eth1"),
        (ALL, "tun0", "tun0"),
        (ALL, "lo", "lo"),
        (ALL, "eth2", None),
        ([LO, DOWN, ETH1], "eth0", None),
        ([LO, BARE, ETH1], "eth0", None),
        ([], "eth0", None),
    ],
)
def test_the_named_interface_or_none(
    interfaces: list[Interface], wanted: str, chosen: str | None
) -> None:
    choice = choose(interfaces, [VIA_ETH0, VIA_ETH1], Wanted(wanted, "/etc/drop-env:1"))
    assert name(choice) == chosen
    assert "DROP_IFACE (/etc/drop-env:1)" in choice.why


@pytest.mark.parametrize(
    ("interfaces", "routes", "words"),
    [
        (ALL, [VIA_ETH0], []),
        (ALL, [VIA_TUN0], ["tun0 carries no multicast", "hosts file"]),
        (ALL, [], ["cannot see this node", "no default route", "eth0: 192.168.50.4", "drop-env"]),
        (
            [LO, DOWN],
            [VIA_ETH0],
            ["cannot see this node", "eth0 has the default route and is down"],
        ),
        ([LO, BARE], [VIA_ETH0], ["has no usable address", "set up an interface"]),
        ([], [], ["cannot see this node"]),
    ],
)
def test_a_warning_says_what_follows_and_what_to_do(
    interfaces: list[Interface], routes: list[DefaultRoute], words: list[str]
) -> None:
    warning = choose(interfaces, routes, None).warning
    assert (warning is None) == (not words)
    for word in words:
        assert word in str(warning)


@pytest.mark.parametrize(
    ("interfaces", "wanted", "why", "warning"),
    [
        (ALL, "eth2", "waiting for eth2", "eth0: 192.168.50.4, eth1: 2001:db8::4"),
        ([LO, DOWN], "eth0", "is down", "no other could"),
        ([LO, BARE], "eth0", "has no usable address", "until eth0 can be used"),
        (ALL, "lo", "lo is named", "lo is loopback: other machines cannot see this node"),
        (ALL, "tun0", "tun0 is named", "no multicast"),
    ],
)
def test_what_is_said_about_a_named_one(
    interfaces: list[Interface], wanted: str, why: str, warning: str
) -> None:
    choice = choose(interfaces, [VIA_ETH0], Wanted(wanted, "environment"))
    assert why in choice.why
    assert warning in str(choice.warning)


def test_a_name_that_cannot_be_is_waited_for_and_its_fault_is_said() -> None:
    fault = ConfigurationError("is longer", file="/etc/drop-env", line=3, expected="a name")
    choice = choose(ALL, [VIA_ETH0], Wanted("averyveryverylongname", "/etc/drop-env:3", fault))
    assert choice.interface is None
    assert choice.why.startswith("waiting for averyveryverylongname")
    assert choice.why.endswith("is longer")
    assert "expected a name" in str(choice.warning)


def test_every_candidate_has_a_verdict() -> None:
    choice = choose([*ALL[:3], replace(TUN0, up=False)], [VIA_ETH0, VIA_ETH1], None)
    verdicts = {each.interface.name: each.verdict for each in choice.candidates}
    assert verdicts == {
        "lo": "loopback: only if nothing else can be used",
        "eth0": "chosen: IPv4 default route by 192.168.50.1, metric 100",
        "eth1": "another default route is preferred to its IPv6 default route by fe80::1, metric"
        " 50",
        "tun0": "is down",
    }


def test_many_names_are_not_all_put_into_a_text() -> None:
    many = [replace(ETH0, name=f"eth{number}", index=number) for number in range(2, 300)]
    warning = str(choose([LO, *many], [], None).warning)
    assert "eth5" in warning
    assert "eth6" not in warning
    assert "..." in warning


def test_the_document_is_for_programs() -> None:
    wanted = Wanted("eth1", "environment")
    assert document(choose(ALL[:3], [], wanted), wanted) == {
        "choice": "eth1",
        "why": "eth1 is named by DROP_IFACE (environment)",
        "warning": None,
        "wanted": {"name": "eth1", "origin": "environment"},
        "candidates": [
            {
                "name": each.name,
                "state": "up",
                "addresses": list(each.addresses),
                "verdict": "chosen: named by DROP_IFACE (environment)"
                if each is ETH1
                else "not the one that DROP_IFACE names (eth1)",
            }
            for each in ALL[:3]
        ],
    }
    assert document(choose([], [], None), None)["choice"] is None


def test_addresses_are_ranked_by_how_far_they_reach() -> None:
    given = [
        ("fe80::1", False),
        ("fd00::1", False),
        ("2001:db8::2", True),
        ("169.254.1.1", False),
        ("2001:db8::1", False),
        ("10.0.0.2", False),
        ("10.0.0.1", False),
    ]
    assert ranked(given) == (
        *("10.0.0.2", "10.0.0.1", "169.254.1.1"),
        *("2001:db8::1", "2001:db8::2", "fd00::1", "fe80::1"),
    )
    assert len(ranked((f"10.0.1.{number}", False) for number in range(200))) == ADDRESSES_MAX


def name(choice: Choice) -> str | None:
    return choice.interface.name if choice.interface else None
