"""What a node sees of the machine's interfaces, and when: on real kernel objects in namespaces."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from drop.host import netlink
from drop.host.interfaces import Choice, DefaultRoute, Interface, Wanted, choose
from namespaces import Namespace, why_not

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(why_not()), reason=why_not())]

SEEN_SECONDS_MAX = 10


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A machine with two interfaces that have a carrier; nothing is set up yet but loopback."""
    with Namespace() as made:
        made.sysctl("net/ipv6/conf/default/accept_dad", 0)
        for name in ("eth0", "eth1"):
            made.ip(f"link add {name} type veth peer name {name}-far", f"link set {name}-far up")
        yield made


def look(host: Namespace) -> tuple[dict[str, Interface], list[DefaultRoute]]:
    with host.inside():
        interfaces, routes = netlink.look()
    return {each.name: each for each in interfaces}, routes


def chosen(host: Namespace, wanted: str | None = None) -> Choice:
    interfaces, routes = look(host)
    named = Wanted(wanted, "environment") if wanted else None
    return choose(list(interfaces.values()), routes, named)


def name(choice: Choice) -> str | None:
    return choice.interface.name if choice.interface else None


def set_up(host: Namespace, interface: str = "eth0", net: int = 0, metric: int = 100) -> None:
    host.ip(
        f"link set {interface} up",
        f"addr add 192.168.{net}.4/24 dev {interface}",
        f"route add default via 192.168.{net}.1 metric {metric}",
    )


def test_an_interface_is_seen_as_it_is(host: Namespace) -> None:
    host.ip("link set eth0 address 02:00:00:00:00:07 mtu 1400 up")
    host.ip("addr add 192.168.0.4/24 dev eth0", "addr add fd00::4/64 dev eth0 nodad")
    host.ip("addr add 2001:db8::4/64 dev eth0 nodad", "link set eth0-far up")
    interfaces, routes = look(host)
    eth0, lo = interfaces["eth0"], interfaces["lo"]
    *global_first, link_local = eth0.addresses
    assert global_first == ["192.168.0.4", "2001:db8::4", "fd00::4"]
    assert link_local == "fe80::ff:fe00:7"
    assert (eth0.up, eth0.loopback, eth0.multicast) == (True, False, True)
    assert (eth0.mac, eth0.mtu) == ("02:00:00:00:00:07", 1400)
    assert (lo.up, lo.loopback, lo.addresses) == (True, True, ("127.0.0.1", "::1"))
    assert routes == []
    assert not interfaces["eth1"].up
    assert [each.index for each in interfaces.values()] == sorted(
        each.index for each in interfaces.values()
    )


def test_routes_of_all_forms_are_told_apart(host: Namespace) -> None:
    set_up(host, "eth0", 0, 100)
    set_up(host, "eth1", 1, 50)
    host.ip(
        "addr add 2001:db8::4/64 dev eth0 nodad",
        "route add default via 2001:db8::1 metric 7",
        "route add default metric 200 nexthop via 192.168.0.2 nexthop via 192.168.1.2",
        "route add default via 192.168.0.9 table 77",  # somebody's policy
        "route add blackhole default metric 900",
        "route add 10.0.0.0/8 via 192.168.0.1",
        "route add 0.0.0.0/1 via 192.168.0.1",
    )
    host.run("ip", "-6", "route", "add", "unreachable", "default", "metric", "8", "dev", "lo")
    host.run("ip", "-4", "route", "add", "default", "via", "inet6", "2001:db8::9", "dev", "eth0")
    interfaces, routes = look(host)
    eth0, eth1 = interfaces["eth0"].index, interfaces["eth1"].index
    found = {(each.interface, each.family, each.metric, each.gateway) for each in routes}
    assert found == {
        (eth0, 4, 100, "192.168.0.1"),
        (eth1, 4, 50, "192.168.1.1"),
        (eth0, 4, 200, "192.168.0.2"),
        (eth1, 4, 200, "192.168.1.2"),
        (eth0, 4, 0, "2001:db8::9"),
        (eth0, 6, 7, "2001:db8::1"),
    }
    assert len(routes) == len(found)


def test_the_lowest_metric_of_what_is_up_is_chosen(host: Namespace) -> None:
    assert name(chosen(host)) == "lo"
    assert "other machines cannot see this node" in str(chosen(host).warning)
    set_up(host, "eth0", 0, 100)
    assert name(chosen(host)) == "eth0"
    set_up(host, "eth1", 1, 50)
    assert name(chosen(host)) == "eth1"
    assert "metric 50" in chosen(host).why
    host.ip("link set eth1-far down")  # its cable: the route stays
    assert name(chosen(host)) == "eth0"
    host.ip("link set eth1-far up")
    assert name(chosen(host)) == "eth1"
    host.ip("link set eth1 down")  # and now the route goes
    assert name(chosen(host)) == "eth0"
    host.ip("addr flush dev eth0")
    assert name(chosen(host)) == "lo"


def test_a_replaced_address_is_the_only_one(host: Namespace) -> None:
    set_up(host)
    host.ip("addr del 192.168.0.4/24 dev eth0", "addr add 192.168.0.5/24 dev eth0")
    assert look(host)[0]["eth0"].addresses[0] == "192.168.0.5"
    assert "192.168.0.4" not in look(host)[0]["eth0"].addresses


def test_one_of_the_same_name_is_another_and_a_renamed_one_the_same(host: Namespace) -> None:
    set_up(host)
    before = look(host)[0]["eth0"].index
    host.ip("link del eth0")
    assert "eth0" not in look(host)[0]
    host.ip("link add eth0 type veth peer name eth0-far", "link set eth0-far up")
    set_up(host)
    after = chosen(host)
    assert after.interface is not None
    assert after.interface.name == "eth0"
    assert after.interface.index != before
    host.ip("link set eth0 down", "link set eth0 name lan0", "link set lan0 up")
    renamed = look(host)[0]
    assert "eth0" not in renamed
    assert renamed["lan0"].index == after.interface.index
    assert "192.168.0.4" in renamed["lan0"].addresses


def test_only_ipv6_and_addresses_that_may_not_be_used_yet_or_any_more(host: Namespace) -> None:
    # One that never ends: nobody answers, and a minute lies between the questions.
    host.sysctl("net/ipv6/conf/eth0/accept_dad", 1)
    host.sysctl("net/ipv6/conf/eth0/dad_transmits", 2)
    host.sysctl("net/ipv6/neigh/eth0/retrans_time_ms", 60_000)
    host.ip("link set eth0 addrgenmode none", "link set eth0 up")
    host.ip("addr add 2001:db8::4/64 dev eth0", "route add default via 2001:db8::1 dev eth0")
    assert look(host)[0]["eth0"].addresses == ()
    assert name(chosen(host)) == "lo"
    assert "eth0 has the default route and has no usable address" in chosen(host).why
    host.ip("addr add 2001:db8::5/64 dev eth0 nodad")
    assert look(host)[0]["eth0"].addresses == ("2001:db8::5",)
    assert name(chosen(host)) == "eth0"
    host.ip("addr change 2001:db8::5/64 dev eth0 preferred_lft 0")
    assert look(host)[0]["eth0"].addresses == ()


def test_an_address_that_another_machine_has_is_not_used(host: Namespace) -> None:
    host.ip("link set eth0 addrgenmode none up", "link set eth0-far addrgenmode none up")
    with Namespace("other") as other:
        host.ip(f"link set eth0-far netns {other.pid}")
        other.ip("link set eth0-far up", "addr add 2001:db8::4/64 dev eth0-far nodad")
        host.sysctl("net/ipv6/conf/eth0/accept_dad", 1)

        def add() -> None:
            host.ip("addr add 2001:db8::4/64 dev eth0")

        def failed() -> bool:
            return "dadfailed" in host.run("ip", "address", "show", "dev", "eth0").stdout

        run_seen("asyncio", host, add, failed)
        assert look(host)[0]["eth0"].addresses == ()


def test_the_other_end_of_a_point_to_point_link_is_not_ours(host: Namespace) -> None:
    host.ip("link set eth0 up", "addr add 10.8.0.2 peer 10.8.0.1 dev eth0")
    host.ip("addr add 192.0.2.7/32 dev lo", "addr add 127.0.0.9/32 dev eth0")
    interfaces, _ = look(host)
    assert interfaces["eth0"].addresses[0] == "10.8.0.2"
    assert "10.8.0.1" not in interfaces["eth0"].addresses
    assert "127.0.0.9" not in interfaces["eth0"].addresses
    assert "192.0.2.7" not in interfaces["lo"].addresses


def test_the_named_interface_absent_down_bare_and_then_there(host: Namespace) -> None:
    set_up(host)
    for prepared, why in (
        ([], "there is no such interface"),
        (["link add lan0 type veth peer name lan0-far", "link set lan0-far up"], "is down"),
        (["link set lan0 addrgenmode none up"], "has no usable address"),
    ):
        whole = f"waiting for lan0, named by DROP_IFACE (environment): {why}"

        def seen(text: str = whole) -> bool:
            return text in chosen(host, "lan0").why

        if prepared:  # the kernel tells a link's state a moment after its carrier is there
            run_seen("asyncio", host, functools.partial(host.ip, *prepared), seen)
        assert seen()
        choice = chosen(host, "lan0")
        assert choice.interface is None
        assert "eth0: 192.168.0.4" in str(choice.warning)
    host.ip("addr add 10.0.0.1/24 dev lan0")
    assert name(chosen(host, "lan0")) == "lan0"


async def test_it_looks_from_a_worker_thread_too(host: Namespace) -> None:
    set_up(host)

    def there() -> list[str]:
        with host.inside():
            return [each.name for each in netlink.look()[0]]

    assert "eth0" in await asyncio.to_thread(there)


def test_a_table_of_many_routes_is_not_all_read(host: Namespace) -> None:
    set_up(host)
    host.ip(
        *(f"route add 10.{n // 250}.{n % 250}.0/24 via 192.168.0.1" for n in range(5000)),
    )
    assert [each.metric for each in look(host)[1]] == [100]


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


async def until_seen(
    host: Namespace, change: Callable[[], None], seen: Callable[[], bool]
) -> tuple[int, int]:
    """Makes a change and returns when a call has come and it is seen: (calls, overruns)."""
    event, calls = asyncio.Event(), 0
    with host.inside():
        watch = netlink.Watch(event.set)
    try:
        change()  # the loop does not run meanwhile
        async with asyncio.timeout(SEEN_SECONDS_MAX):
            while not calls or not seen():
                await event.wait()
                event.clear()
                calls += 1
    finally:
        watch.close()
        watch.close()  # idempotent
    return calls, watch.overruns


def run_seen(
    loop: str, host: Namespace, change: Callable[[], None], seen: Callable[[], bool]
) -> tuple[int, int]:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(until_seen(host, change, seen))


CHANGES = {
    "address": (["addr add 192.168.0.5/24 dev eth0"], ("eth0", True, 2)),
    "address gone": (["addr flush dev eth0 scope global"], ("eth0", True, 0)),
    "down": (["link set eth0 down"], ("eth0", False, 1)),
    "cable": (["link set eth0-far down"], ("eth0", False, 1)),
    "gone": (["link del eth0"], None),
    "renamed": (["link set eth0 down", "link set eth0 name lan0"], None),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_seen(host: Namespace, loop: str, kind: str) -> None:
    set_up(host)
    commands, expected = CHANGES[kind]

    def seen() -> bool:
        found = look(host)[0].get("eth0")
        if found is None or expected is None:
            return found is None and expected is None
        addresses = [each for each in found.addresses if ":" not in each]
        return (found.name, found.up, len(addresses)) == expected

    assert not seen()
    run_seen(loop, host, lambda: host.ip(*commands), seen)
    assert seen()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_default_route_is_seen(host: Namespace, loop: str) -> None:
    set_up(host)

    def change() -> None:
        host.ip("route add default via 192.168.0.2 metric 200")

    calls, overruns = run_seen(loop, host, change, lambda: len(look(host)[1]) == 2)
    assert (calls, overruns) == (1, 0)


def test_other_routes_call_nobody(host: Namespace) -> None:
    set_up(host)
    with host.inside():
        heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        heard.bind((0, netlink._GROUPS))
    with heard:
        host.ip(*(f"route add 10.0.{n}.0/24 via 192.168.0.1" for n in range(100)))
        told = [heard.recv(1 << 16) for _ in range(100)]
        assert not any(netlink._matters(datagram) for datagram in told)
        host.ip("route add default via 192.168.0.2 metric 200")
        assert netlink._matters(heard.recv(1 << 16))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_flood_of_changes_overruns_the_socket_and_loses_nothing(
    host: Namespace, loop: str
) -> None:
    set_up(host)
    adding = [f"addr add 10.{n // 250}.{n % 250}.1/32 dev eth0" for n in range(2000)]

    def flood() -> None:
        host.ip(*adding, "addr flush dev eth0 scope global", "addr add 192.168.0.9/24 dev eth0")

    def seen() -> bool:
        return look(host)[0]["eth0"].addresses[0] == "192.168.0.9"

    calls, overruns = run_seen(loop, host, flood, seen)
    assert overruns >= 1
    assert calls == 1  # thousands of changes, one look


def test_what_the_kernel_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_RTM_GETLINK", 9999)
    with pytest.raises(OSError, match="netlink: ENOTSUP"):
        netlink.look()


def test_half_a_message_ends_the_reading() -> None:
    whole = netlink._HEADER.pack(20, 16, 0, 0, 0) + b"1234"
    assert len(list(netlink._messages(whole * 2))) == 2
    for length in range(20, 40):
        assert len(list(netlink._messages((whole * 2)[:length]))) == 1
    assert list(netlink._messages(netlink._HEADER.pack(3, 16, 0, 0, 0) * 2)) == []
    assert list(netlink._messages(b"")) == []


def test_the_command_shows_what_a_node_would_choose_here(host: Namespace, var_dir: Path) -> None:
    set_up(host)
    (var_dir / "drop").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:  # of a node that is no more
        dead.bind(str(var_dir / "drop" / "drop.sock"))
    program = [sys.executable, "-m", "drop.cli.main", "node", "interfaces"]
    environment = {**os.environ, "DROP_IFACE": "eth1", "XDG_RUNTIME_DIR": str(var_dir)}
    environment.pop("DROP_ADDRESS", None)
    waiting = host.run(*program, "--json", env=environment, check=False)
    assert waiting.returncode == 1
    document = json.loads(waiting.stdout)
    assert (document["choice"], document["running"]) == (None, False)
    assert document["why"].startswith("waiting for eth1")
    set_up(host, "eth1", 1, 200)
    named = host.run(*program, env=environment)
    assert "eth1 is named by DROP_IFACE (environment)" in named.stdout
    assert "192.168.1.4" in named.stdout
    assert "drop.sock: Connection refused" in named.stderr
