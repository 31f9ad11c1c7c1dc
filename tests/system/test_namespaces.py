"""The harness of network namespaces does what its tests rely on: reach, cut, lose, clean up."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop.client import Client
from namespaces import GATEWAY, GATEWAY6, CommandFailed, Namespace, Network, Node, why_not
from node_tools import ECHO
from running_node import RunningNode

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(why_not()), reason=why_not())]

GROUP, GROUP6, PORT = "239.255.80.86", "ff12::80:86", 8086


@pytest.fixture(scope="module")
def built() -> Iterator[Network]:
    with Network(nodes=4) as network:
        yield network


@pytest.fixture
def net(built: Network) -> Iterator[Network]:
    """One network for all tests, whole again after each."""
    yield built
    built.heal()


def listener(node: Node, family: int = socket.AF_INET) -> socket.socket:
    """A member of the group on a node."""
    with node.inside():
        index = socket.if_nametoindex(node.interface)
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.settimeout(5)
        if family == socket.AF_INET:
            made.bind((GROUP, PORT))
            member = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        else:
            made.bind((GROUP6, PORT, 0, index))
            member = struct.pack("=16si", socket.inet_pton(family, GROUP6), index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        return made


def send(node: Node, *payloads: bytes, family: int = socket.AF_INET) -> None:
    """To the group, from a node."""
    with node.inside(), socket.socket(family, socket.SOCK_DGRAM) as sender:
        index = socket.if_nametoindex(node.interface)
        where = (GROUP, PORT) if family == socket.AF_INET else (GROUP6, PORT, 0, index)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        for payload in payloads:
            sender.sendto(payload, where)


def test_nodes_reach_each_other_and_the_gateway(net: Network) -> None:
    for other in (net.node(1), net.node(3)):
        assert other.is_reached_by(net.node(0))
        assert other.is_reached_by(net.node(0), other.address6)
    assert net.node(0).is_reached_by(net.node(2), GATEWAY)
    assert net.node(0).is_reached_by(net.node(2), GATEWAY6)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_multicast_comes_to_every_other_node(net: Network, family: int) -> None:
    members = [listener(node, family) for node in net.nodes[1:]]
    send(net.node(0), b"hello", family=family)
    for member in members:
        with member:
            payload, source = member.recvfrom(100)
            assert payload == b"hello"
            if family == socket.AF_INET:
                assert source[0] == net.node(0).address


def test_a_cut_cable_is_seen_by_its_node_and_put_back(net: Network) -> None:
    net.cut(1)
    assert "NO-CARRIER" in net.node(1).run("ip", "link", "show", "eth0").stdout
    assert not net.node(1).is_reached_by(net.node(0))
    assert net.node(2).is_reached_by(net.node(0))
    net.heal()
    assert net.node(1).is_reached_by(net.node(0))


def test_a_partition_has_two_sides_without_a_lost_carrier(net: Network) -> None:
    net.partition({0, 1}, {2, 3})
    assert net.node(1).is_reached_by(net.node(0))
    assert net.node(3).is_reached_by(net.node(2))
    assert not net.node(2).is_reached_by(net.node(0))
    assert not net.node(1).is_reached_by(net.node(3))
    assert "NO-CARRIER" not in net.node(0).run("ip", "link", "show", "eth0").stdout
    net.heal()
    assert net.node(2).is_reached_by(net.node(0))


def test_one_way_is_blocked_and_the_other_is_not(net: Network) -> None:
    here, there = listener(net.node(0)), listener(net.node(1))
    with here, there:
        net.block(0, 1)
        send(net.node(0), b"blocked")
        send(net.node(1), b"back")
        send(net.node(2), b"after")
        assert [here.recv(100), here.recv(100)] == [b"back", b"after"]
        assert there.recv(100) == b"after"


def test_about_so_many_packets_are_lost(net: Network) -> None:
    batches, percent, got = 20, 20, 0
    with listener(net.node(1)) as member:
        net.loss(percent)
        for number in range(batches):  # each is fewer than a socket's buffer holds
            end = b"end %d" % number
            send(net.node(0), *[b"x"] * 100, *[end] * 30)  # one of the ends comes through
            got += sum(payload == b"x" for payload in iter(lambda: member.recv(100), end))
    lost = 100 - got / batches
    assert percent - 6 < lost < percent + 6  # more than six standard deviations


def test_a_namespace_has_a_host_name_and_interfaces_of_its_own() -> None:
    before = set(os.listdir("/sys/class/net"))
    with Namespace("lonely") as host:
        host.ip("link add here type veth peer name there", "link set here up")
        assert host.run("hostname").stdout == "lonely\n"
        names = re.findall(r"^\d+: (\w+)", host.run("ip", "link").stdout, re.M)
        assert sorted(names) == ["here", "lo", "there"]
        assert set(os.listdir("/sys/class/net")) == before
    assert os.uname().nodename != "lonely"


def test_what_still_runs_inside_is_killed_also_after_a_failure() -> None:
    started: list[subprocess.Popen[bytes]] = []

    def failing() -> None:
        with Network(nodes=2) as network:
            started.append(network.node(0).start("sleep", "1000"))
            started.append(network.node(1).start("sh", "-c", "sleep 1000 & wait"))
            raise RuntimeError("a test fails")

    with pytest.raises(RuntimeError, match="a test fails"):
        failing()
    assert [process.wait(10) for process in started] == [-9, -9]


def test_a_thread_comes_back_from_inside() -> None:
    def failing(host: Namespace) -> None:
        with host.inside():
            assert here() != home
            raise RuntimeError("a test fails")

    home = here()
    with Namespace() as other, pytest.raises(RuntimeError, match="a test fails"):
        failing(other)
    assert here() == home


def here() -> Path:
    return Path("/proc/thread-self/ns/net").readlink()


def test_a_command_that_fails_says_what_it_said() -> None:
    with Namespace() as host, pytest.raises(CommandFailed, match="nowhere"):
        host.ip("link set nowhere up")


def test_a_node_runs_inside_and_is_asked_by_its_unix_socket(net: Network, var_dir: Path) -> None:
    host = net.node(0)
    node = RunningNode(var_dir, 8085, [ECHO], {}, prefix=host.prefix)
    node.start()
    try:
        assert node.process.pid in host.processes()
        with Client(node.socket_address) as client:
            assert client.call("echo", b"hello") == b"hello"
            assert client.control("node.info")["name"] == host.name
        with host.inside(), Client(node.address) as client:
            assert client.call("echo", b"hello") == b"hello"
    finally:
        node.finish()
