"""The sockets of beacons with real multicast between namespaces, and what may be in their way."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from as_nobody import as_nobody
from drop.cluster.sockets import (
    RECEIVE_BUFFER,
    Destination,
    SocketFault,
    open_sockets,
    unserved,
)
from drop.config_model import Discovery
from drop.host import netlink
from drop.host.interfaces import Interface
from namespaces import Namespace, Network, Node, why_not

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(why_not()), reason=why_not())]

DISCOVERY = Discovery()
PORT = DISCOVERY.port
SECONDS_MAX = 5


class Radio:
    """The sockets of one node, as a herald uses them."""

    def __init__(
        self,
        host: Namespace,
        interface: str = "eth0",
        discovery: Discovery = DISCOVERY,
        destinations: list[Destination] | None = None,
    ) -> None:
        self.opened: list[tuple[socket.socket, tuple[Destination, ...]]] = []
        with host.inside():
            found = next(each for each in netlink.look()[0] if each.name == interface)
            self.interface = found
            for fd, to in open_sockets(found, discovery, destinations):
                self.opened.append((socket.socket(fileno=fd), to))

    def __enter__(self) -> Radio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for each, _ in self.opened:
            each.close()

    def send(self, payload: bytes, version: int | None = None) -> None:
        for each, destinations in self.opened:
            for address, port, scope in destinations:
                if version in (None, 6 if ":" in address else 4):
                    where = (address, port, 0, scope) if ":" in address else (address, port)
                    each.sendto(payload, where)

    def hear(self) -> tuple[bytes, str, int]:
        """The next packet at any of the sockets: payload, source address and port."""
        readable, _, _ = select.select([each for each, _ in self.opened], [], [], SECONDS_MAX)
        assert readable, "nothing is heard"
        payload, source = readable[0].recvfrom(1000)
        return payload, source[0].partition("%")[0], source[1]

    def hear_all(self, count: int) -> list[tuple[bytes, str]]:
        return sorted(self.hear()[:2] for _ in range(count))

    def answer(self, payload: bytes, address: str) -> None:
        """From the unicast socket of the version of `address` to another node."""
        scope = self.interface.index if address.startswith("fe80") else 0
        where = (address, PORT, 0, scope) if ":" in address else (address, PORT)
        for each, _ in self.opened:
            own = each.getsockname()[0]
            if (":" in own) == (":" in address) and not own.startswith(("239", "ff")):
                each.sendto(payload, where)

    def option(self, level: int, name: int) -> list[int]:
        return [each.getsockopt(level, name) for each, _ in self.opened]


@pytest.fixture(scope="module")
def built() -> Iterator[Network]:
    with Network(nodes=3) as network:
        yield network


@pytest.fixture
def net(built: Network) -> Iterator[Network]:
    yield built
    built.heal()


def link_local(node: Node) -> str:
    with node.inside():
        found = next(each for each in netlink.look()[0] if each.name == node.interface)
    return found.addresses[-1]


def test_what_is_sent_to_the_group_comes_to_all_by_both_versions(net: Network) -> None:
    here, there, third = net.nodes
    with Radio(here) as radio, Radio(there) as one, Radio(third) as other:
        radio.send(b"beacon")
        expected = sorted([(b"beacon", here.address), (b"beacon", link_local(here))])
        for each in (one, other, radio):  # what we send we hear too
            assert each.hear_all(2) == expected


def test_an_answer_goes_to_the_source(net: Network) -> None:
    here, there = net.nodes[:2]
    with Radio(here) as radio, Radio(there) as other:
        for version in (4, 6):
            radio.send(b"beacon", version)
            payload, source, port = other.hear()
            assert (payload, port) == (b"beacon", PORT)
            other.answer(b"probe", source)
            heard = radio.hear_all(2)  # also our own, looped back
            answered = there.address if version == 4 else link_local(there)
            assert (b"probe", answered) in heard


def test_every_socket_is_as_a_herald_needs_it(net: Network) -> None:
    with Radio(net.node(0), discovery=Discovery(ttl=7)) as radio:
        assert len(radio.opened) == 4
        assert not any(os.get_inheritable(each.fileno()) for each, _ in radio.opened)
        assert not any(os.get_blocking(each.fileno()) for each, _ in radio.opened)
        assert radio.option(socket.SOL_SOCKET, socket.SO_RCVBUF) == [2 * RECEIVE_BUFFER] * 4
        assert radio.option(socket.SOL_SOCKET, 40) == [1] * 4  # SO_RXQ_OVFL
        by_address = {each.getsockname()[0].partition("%")[0]: each for each, _ in radio.opened}
        assert len(by_address) == 4
        four = by_address[net.node(0).address]
        assert four.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 7
        assert four.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
        six = by_address[link_local(net.node(0))]
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 7
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_plain_user_gets_the_buffer_that_it_may_have(net: Network) -> None:
    def granted() -> list[int]:
        with open("/proc/sys/net/core/rmem_max") as file:
            limit = int(file.read())
        interface = Interface("lo", 1, True, True, False, ("127.0.0.1",), "", 65536)
        ((fd, _),) = open_sockets(interface, Discovery(port=40_000), None)
        with socket.socket(fileno=fd) as made:
            return [made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), limit]

    with net.node(0).inside():
        got, limit = as_nobody(granted)
    assert got == 2 * min(RECEIVE_BUFFER, limit)


def test_after_the_link_was_down_new_sockets_are_members_again(net: Network) -> None:
    here, there = net.nodes[:2]
    with Radio(here) as radio:
        there.ip("link set eth0 down", "link set eth0 up", f"addr add {there.address6}/64 dev eth0")
        assert "default" not in there.run("ip", "route").stdout  # and nothing routes a group
        with Radio(there) as other:
            radio.send(b"to a member")
            expected = sorted([(b"to a member", here.address), (b"to a member", link_local(here))])
            assert other.hear_all(2) == expected
            other.send(b"without a route")
            heard = radio.hear_all(4)  # also its own
            assert {source for payload, source in heard if payload == b"without a route"} == {
                there.address,
                link_local(there),
            }


def test_an_interface_made_anew_needs_new_sockets_and_has_them(net: Network) -> None:
    here = net.node(0)
    with Namespace("changing") as host, ExitStack() as stack:
        net.switch.ip(f"link add spare type veth peer name eth0 netns {host.pid}")
        stack.callback(net.switch.ip, "link del spare")
        net.switch.ip("link set spare master bridge0 up")
        host.ip("link set eth0 up", "addr add 10.80.0.99/24 dev eth0")
        old = stack.enter_context(Radio(host))
        radio = stack.enter_context(Radio(here))
        radio.send(b"first", 4)
        assert old.hear()[0] == b"first"
        host.ip("link del eth0")
        net.switch.ip(f"link add spare type veth peer name eth0 netns {host.pid}")
        net.switch.ip("link set spare master bridge0 up")
        host.ip("link set eth0 up", "addr add 10.80.0.99/24 dev eth0")
        member = old.opened.pop(1)[0]  # the rest would be in the way
        assert member.getsockname()[0] == DISCOVERY.group
        stack.enter_context(member)
        old.close()
        new = stack.enter_context(Radio(host))
        radio.send(b"second", 4)
        assert new.hear()[:2] == (b"second", here.address)
        with pytest.raises(BlockingIOError):  # a member on an interface that is no more
            member.recv(1000)


def test_a_network_without_ipv4() -> None:
    with Network(nodes=2) as net:
        for node in net.nodes:
            node.run("ip", "-4", "addr", "flush", "dev", "eth0")
        with Radio(net.node(0)) as radio, Radio(net.node(1)) as other:
            assert [len(each.opened) for each in (radio, other)] == [2, 2]
            radio.send(b"six")
            assert other.hear()[:2] == (b"six", link_local(net.node(0)))


def test_what_comes_by_another_interface_is_not_heard(net: Network) -> None:
    here, there = net.nodes[:2]
    with Namespace("aside") as aside, ExitStack() as stack:
        there.ip(f"link add eth1 type veth peer name eth0 netns {aside.pid}", "link set eth1 up")
        stack.callback(there.ip, "link del eth1")
        aside.sysctl("net/ipv6/conf/all/disable_ipv6", 1)
        aside.ip("link set eth0 up", "addr add 10.81.0.1/24 dev eth0")
        there.ip("addr add 10.81.0.2/24 dev eth1")
        radio = stack.enter_context(Radio(there))
        # Somebody else on the machine is a member there: the host hears, this socket does not.
        other = stack.enter_context(Radio(there, "eth1", Discovery(port=PORT, group6="ff12::1")))
        stack.enter_context(Radio(aside)).send(b"aside", 4)
        assert other.hear()[0] == b"aside"
        stack.enter_context(Radio(here)).send(b"here", 4)
        assert radio.hear()[0] == b"here"


def test_hosts_get_what_is_sent_and_nobody_else(net: Network) -> None:
    here, there, third = net.nodes
    hosts = [(node.address, PORT, 0) for node in (here, there)]
    hosts += [(node.address6, PORT, 0) for node in (here, there)]
    with Radio(here, destinations=hosts) as radio, Radio(there, destinations=hosts) as other:
        assert len(radio.opened) == 2
        with Radio(third) as member:
            radio.send(b"to you")  # not to ourselves, who are in the same file
            assert other.hear_all(2) == sorted(
                [(b"to you", here.address), (b"to you", here.address6)]
            )
            other.send(b"back")
            assert {source for _, source in radio.hear_all(2)} == {there.address, there.address6}
            member.send(b"own")
            assert {payload for payload, _ in member.hear_all(2)} == {b"own"}


def test_hosts_on_the_link_only(net: Network) -> None:
    here, there = net.nodes[:2]
    with (
        Radio(here, destinations=[(link_local(there), PORT, 0)]) as radio,
        Radio(there, destinations=[(link_local(here), PORT, 0)]) as other,
    ):
        radio.send(b"near")
        assert other.hear()[:2] == (b"near", link_local(here))


def test_a_group_beyond_the_link_is_sent_to_from_an_address_that_is_known_there(
    net: Network,
) -> None:
    wide = Discovery(group6="ff15::80:86")
    here, there = net.nodes[:2]
    with Radio(here, discovery=wide) as radio, Radio(there, discovery=wide) as other:
        radio.send(b"far", 6)
        assert other.hear()[:2] == (b"far", here.address6)


def test_two_nodes_on_one_machine_by_loopback_and_a_hosts_file() -> None:
    with Namespace() as host:
        second = Discovery(port=8087)
        with (
            Radio(host, "lo", DISCOVERY, [("127.0.0.1", 8087, 0)]) as one,
            Radio(host, "lo", second, [("127.0.0.1", 8086, 0)]) as other,
        ):
            one.send(b"hello")
            assert other.hear() == (b"hello", "127.0.0.1", 8086)
            other.send(b"hello too")
            assert one.hear() == (b"hello too", "127.0.0.1", 8087)
        with Radio(host, "lo") as alone:
            assert [to for _, to in alone.opened] == [(), ()]


def test_a_port_that_is_taken_names_the_setting(net: Network) -> None:
    with (
        Radio(net.node(0)) as radio,
        pytest.raises(SocketFault) as caught,
    ):
        Radio(net.node(0))
    assert radio.opened
    assert not caught.value.gone
    text = str(caught.value)
    assert f"by eth0: {net.node(0).address}:8086 (UDP) is in use by another process" in text
    assert "(EADDRINUSE)" in text
    assert "discovery.port" in text
    assert "DROP_DISCOVERY_PORT" in text


@pytest.mark.parametrize(
    "change",
    [
        {"addresses": ("10.80.0.77",)},
        {"addresses": ("fd80::77",)},
        {"addresses": ("fe80::77",)},
        {"index": 9999, "addresses": ("10.80.0.1",)},
        {"index": 9999, "addresses": ("fd80::1",)},
    ],
)
def test_an_address_that_went_away_meanwhile_is_a_reason_to_look_again(
    net: Network, change: dict[str, object]
) -> None:
    with net.node(0).inside():
        found = next(each for each in netlink.look()[0] if each.name == "eth0")
        before = os.listdir("/proc/self/fd")
        with pytest.raises(SocketFault, match="looked at again") as caught:
            open_sockets(replace(found, **change), DISCOVERY, None)  # type: ignore[arg-type]
        assert caught.value.gone
        assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_port_for_which_rights_are_missing_says_so() -> None:
    def refused() -> str:
        interface = Interface("lo", 1, True, True, False, ("127.0.0.1",), "", 65536)
        with pytest.raises(SocketFault) as caught:
            open_sockets(interface, Discovery(port=99), None)
        return str(caught.value)

    with Namespace() as host, host.inside():
        text = as_nobody(refused)
    assert "127.0.0.1:99 (UDP) is not allowed: ports below 1024 need more rights" in text


def test_hosts_that_an_interface_cannot_serve_are_told() -> None:
    interface = Interface("eth0", 2, True, False, True, ("10.0.0.1",), "", 1500)
    hosts = [("10.0.0.2", PORT, 0), ("2001:db8::1", PORT, 0)]
    assert unserved(interface, hosts) == hosts[1:]
    assert unserved(replace(interface, addresses=("fe80::1",)), hosts) == hosts[:1]
