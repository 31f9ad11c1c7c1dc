"""Real nodes on real networks: who finds whom, who is missed, and what a stranger can do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import namespaces
from cluster.fleet import Fleet
from namespaces import Network

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(namespaces.why_not()), reason=namespaces.why_not()),
]


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(nodes=5) as network:
        yield network


@pytest.fixture
def fleet(network: Network, var_dir: Path) -> Iterator[Fleet]:
    with Fleet(network, var_dir) as fleet:
        yield fleet


def test_nodes_find_each_other_and_one_that_is_killed_is_missed(fleet: Fleet) -> None:
    fleet.start()
    fleet.meet()
    fleet[4].running.process.send_signal(signal.SIGKILL)
    fleet[4].running.process.wait()
    for host in fleet.hosts[:4]:
        host.wait(lambda states: states["n4"] == "dead", "n4 was killed")
    fleet[4].end()
    before = fleet[0].ask("node.list")["nodes"]
    fleet[4].start()
    fleet.meet()
    after = fleet[0].ask("node.list")["nodes"]
    ids = [{each["name"]: each["id"] for each in nodes} for nodes in (before, after)]
    assert ids[0] == ids[1]  # the same node under a higher incarnation


def test_a_node_that_stops_says_so(fleet: Fleet) -> None:
    fleet.start()
    fleet.meet()
    fleet[3].end()
    fleet[3].running.finish()
    for host in (fleet[0], fleet[1], fleet[2], fleet[4]):
        host.wait(lambda states: states["n3"] == "left", "n3 left")
    assert fleet[0].ask("node.forget", node="n3")["name"] == "n3"
    assert "n3" not in fleet[0].states()
    assert "alive" in fleet[0].refused("node.forget", node="n1")
    assert "cannot forget itself" in fleet[0].refused("node.forget", node="n0")
    assert "no node 'n9' has been seen" in fleet[0].refused("node.forget", node="n9")


def test_a_partition_and_its_healing(fleet: Fleet) -> None:
    fleet.start()
    fleet.meet()
    fleet.network.partition({0, 1}, {2, 3, 4})
    for number, host in enumerate(fleet.hosts):
        mine = {"n0", "n1"} if number < 2 else {"n2", "n3", "n4"}
        expected = {name: "alive" if name in mine else "dead" for name in fleet.others(number)}
        host.wait(lambda states, e=expected: states == e, f"n{number} sees its side only")
    fleet.network.heal()
    fleet.meet()
    assert fleet[0].states() == fleet.others(0)


def test_a_cut_cable_and_a_new_address(fleet: Fleet) -> None:
    fleet.start()
    fleet.meet()
    fleet.network.cut(2)
    fleet[0].wait(lambda states: states["n2"] == "dead", "the cable of n2 is cut")
    node = fleet.network.node(2)
    node.ip("addr flush dev eth0", "addr add 10.80.0.77/24 dev eth0")
    fleet.network.plug(2)
    fleet.meet()
    addresses = {each["name"]: each["addresses"] for each in fleet[0].ask("node.list")["nodes"]}
    assert "10.80.0.77" in addresses["n2"]
    assert "10.80.0.3" not in addresses["n2"]


def test_nodes_with_another_key_stay_strangers(fleet: Fleet) -> None:
    fleet.give_key(1, os.urandom(32))
    fleet.start(0, 1, 2)
    fleet[0].wait(lambda states: states == {"n2": "alive"}, "n2 has the key")
    fleet[0].until_beacons(lambda beacons: beacons["dropped"]["foreign"] > 0, "n1 is foreign")
    assert set(fleet[0].states()) == {"n2"}


def test_the_key_is_changed_while_everybody_stays(fleet: Fleet) -> None:
    fleet.start(0, 1, 2)
    expected = {0: {"n1", "n2"}, 1: {"n0", "n2"}, 2: {"n0", "n1"}}

    def all_alive() -> None:
        for number, names in expected.items():
            fleet[number].wait(lambda states, n=names: states == dict.fromkeys(n, "alive"))

    all_alive()
    new = os.urandom(32)
    begin = {number: fleet[number].ask("node.list")["revision"] for number in expected}
    for keys in ((fleet.key, new), (new, fleet.key), (new,)):
        for number in expected:  # one after the other, as an operator would
            fleet.give_key(number, *keys)
            assert fleet[number].ask("node.reload_keys")["keys"] == len(keys)
            all_alive()
    for number in expected:
        changes = fleet[number].ask("node.watch", revision=begin[number], seconds=0)["changes"]
        assert [each for each in changes if each["state"] in ("suspect", "dead")] == []


def test_beacons_to_listed_hosts(network: Network, var_dir: Path) -> None:
    with Fleet(network, var_dir) as fleet:
        for number in range(3):
            others = [network.node(each).address for each in range(3) if each != number]
            # Names that nobody answers for, or late: they keep nobody waiting.
            names = " ".join(f"nosuch{each}.invalid" for each in range(20))
            text = f"# {names}\\n {names}\n{others[0]}\\n {others[1]}\nnonsense/24 x\n"
            (fleet.directory(number) / "drop-hosts").write_text(text)
        fleet.start(0, 1, 2, 3)  # n3 has no file: it speaks by multicast, and the others do not
        for number in range(3):
            expected = {f"n{each}" for each in range(3) if each != number}
            fleet[number].wait(lambda states, e=expected: e <= states.keys())
        assert "drop-hosts:3" in fleet[0].running.output
        # The file is edited: n0 now also speaks to n3, and by that they know each other.
        with (fleet.directory(0) / "drop-hosts").open("a") as file:
            file.write(f"{network.node(3).address}\n")
        fleet[3].wait(lambda states: states.get("n0") == "alive", "n0 speaks to n3")


def test_two_machines_with_one_id(fleet: Fleet) -> None:
    fleet.start(0)
    source = fleet.directory(0) / "node-id"
    for number in (1, 2):
        (fleet.directory(number) / "node-id").write_bytes(source.read_bytes())
    fleet.start(1, 2, 3)
    everybody = {"n0", "n1", "n2", "n3"}
    for number in range(4):
        expected = dict.fromkeys(everybody - {f"n{number}"}, "alive")
        fleet[number].wait(lambda states, e=expected: states == e, f"n{number} sees four")
    ids = {fleet[number].ask("node.list")["nodes"][0]["id"] for number in range(4)}
    assert len(ids) == 4
    assert "node_id_in_use" in "".join(fleet[number].running.output for number in range(3))


def test_a_stopped_process_does_not_take_the_others_for_dead(fleet: Fleet) -> None:
    fleet.start(0, 1)
    fleet[0].wait(lambda states: states == {"n1": "alive"})
    fleet[1].wait(lambda states: states == {"n0": "alive"})
    revision = fleet[1].ask("node.list")["revision"]
    fleet[1].running.process.send_signal(signal.SIGSTOP)
    fleet[0].wait(lambda states: states["n1"] == "dead", "n1 is stopped")
    fleet[1].running.process.send_signal(signal.SIGCONT)
    fleet[0].wait(lambda states: states["n1"] == "alive", "n1 goes on")
    changes = fleet[1].ask("node.watch", revision=revision, seconds=0)["changes"]
    assert [each for each in changes if each["state"] == "dead"] == []


def test_without_a_key_a_node_says_so_and_stays_alone(fleet: Fleet) -> None:
    (fleet.directory(0) / "key").unlink()
    fleet.start(0, 1)
    reply = fleet[0].ask("node.list")
    assert "no key" in reply["beacons"]["reason"]
    key = fleet.directory(0) / "key"
    key.mkdir()
    assert "is not a file" in fleet[0].refused("node.reload_keys")
    assert "is not a file" in fleet[0].ask("node.list")["beacons"]["reason"]
    key.rmdir()
    fleet.give_key(0, fleet.key)
    key.chmod(0o644)
    assert "has the mode 0644" in fleet[0].refused("node.reload_keys")
    key.chmod(0o600)  # noticed without a word
    fleet[0].wait(lambda states: states == {"n1": "alive"}, "n0 got the key")
    key.chmod(0o644)
    assert "has the mode 0644" in fleet[0].refused("node.reload_keys")
    beacons = fleet[0].ask("node.list")["beacons"]
    assert "has the mode 0644" in beacons["warnings"][0]
    assert beacons["reason"] is None  # the key from before stays


def test_nodes_without_ipv4(fleet: Fleet) -> None:
    for number in (0, 1):
        fleet.network.node(number).ip(f"addr del 10.80.0.{number + 1}/24 dev eth0")
    fleet.start(0, 1)
    fleet[0].wait(lambda states: states == {"n1": "alive"}, "n1 by IPv6")
    found = fleet[0].ask("node.list")["nodes"][1]
    assert fleet.network.node(1).address6 in found["addresses"]


def test_an_interface_without_multicast_is_said_until_hosts_are_listed(fleet: Fleet) -> None:
    fleet.network.node(0).ip("link set eth0 multicast off")
    fleet.start(0, 1)
    fleet[0].until_beacons(lambda beacons: "carries no multicast" in str(beacons["warnings"]))
    (fleet.directory(0) / "drop-hosts").write_text(f"{fleet.network.node(1).address}\n")
    fleet[0].wait(lambda states: states == {"n1": "alive"}, "n1 is listed")
    assert fleet[0].ask("node.list")["beacons"]["warnings"] == []


def test_the_named_interface_is_waited_for(network: Network, var_dir: Path) -> None:
    with Fleet(network, var_dir, {"DROP_IFACE": "lan0"}) as fleet:
        fleet.network.node(1).ip(
            "link set eth0 down", "link set eth0 name lan0", "link set lan0 up"
        )
        fleet.start(0, 1)
        document = fleet[0].ask("node.interfaces")
        assert document["choice"] is None
        assert "waiting for lan0" in document["why"]
        fleet[0].until_beacons(lambda beacons: "waiting for lan0" in str(beacons["reason"]))
        node = fleet.network.node(0)
        node.ip("link set eth0 down", "link set eth0 name lan0", "link set lan0 up")
        fleet[0].wait(lambda states: states == {"n1": "alive"}, "lan0 came")
        assert fleet[0].ask("node.interfaces")["choice"] == "lan0"


def test_an_interface_that_is_made_anew_is_in_the_group_again(fleet: Fleet) -> None:
    fleet.start(0, 1)
    fleet[0].wait(lambda states: states == {"n1": "alive"})
    node, switch = fleet.network.node(0), fleet.network.switch
    node.ip("link del eth0")
    fleet[1].wait(lambda states: states["n0"] == "dead", "n0 has no interface")
    switch.ip(
        f"link add {node.port} type veth peer name eth0 netns {node.pid}",
        f"link set {node.port} master {namespaces.BRIDGE} up",
    )
    node.ip("link set eth0 up", "addr add 10.80.0.1/24 dev eth0")
    node.ip(f"route add default via {namespaces.GATEWAY}")
    fleet[1].wait(lambda states: states["n0"] == "alive", "n0 has one again")
    fleet[0].wait(lambda states: states["n1"] == "alive", "and hears the group")
    assert fleet[0].ask("node.interfaces")["choice"] == "eth0"
