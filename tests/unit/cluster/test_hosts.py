"""The hosts file, as people and shells write it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.cluster.hosts import FAULTS_MAX, HOSTS_MAX, HostEntry, parse


def entries(text: str) -> list[tuple[int, str, int | None]]:
    hosts = parse(text)
    assert hosts.faults == ()
    return [(each.line, each.host, each.port) for each in hosts.entries]


def fault(text: str) -> str:
    (found,) = parse(text).faults
    return str(found)


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_as_the_handbook_writes_it(shell: str) -> None:
    """One shell's echo makes a line of the `\\n`, another's leaves it as it is."""
    command = r"echo '192.168.50.4\n 192.168.50.5'"
    text = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=True).stdout
    assert [host for _, host, _ in entries(text)] == ["192.168.50.4", "192.168.50.5"]


def test_leading_blanks_comments_and_line_ends() -> None:
    text = "# mine\n\n  192.168.50.4  # the first\r\n\t node-7.\rNode_8.example\n"
    assert entries(text) == [
        (3, "192.168.50.4", None),
        (4, "node-7", None),
        (5, "node_8.example", None),
    ]


def test_a_written_new_line_ends_a_comment_too() -> None:
    assert entries(r"# mine\n192.0.2.1\r\n\t192.0.2.2 # more\n# and more") == [
        (1, "192.0.2.1", None),
        (1, "192.0.2.2", None),
    ]


def test_many_in_a_line() -> None:
    assert [host for _, host, _ in entries("192.0.2.1, 192.0.2.2;a b")] == [
        "192.0.2.1",
        "192.0.2.2",
        "a",
        "b",
    ]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1:8086", "192.0.2.1", 8086),
        ("node-7:1", "node-7", 1),
        ("2001:DB8:0::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("[fe80::1%eth0]:8086", "fe80::1%eth0", 8086),
        ("::ffff:192.0.2.1", "192.0.2.1", None),
        ("\ufeff192.0.2.1", "192.0.2.1", None),
    ],
)
def test_forms_of_an_entry(text: str, host: str, port: int | None) -> None:
    assert entries(text) == [(1, host, port)]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("192.168.50.0/24", "is a network; expected each node's own address, such as 192.168.50.0"),
        ("2001:db8::/32", "is a network"),
        ("192.168.50", "is no IPv4 address; expected four numbers"),
        ("192.168.50.256", "is no IPv4 address"),
        ("192.168.050.4", "is no IPv4 address"),
        ("0x7f000001", "is no IPv4 address"),
        ("-node", "is neither a name nor an address"),
        ("node..a", "is neither a name nor an address"),
        ("a" * 64, "is neither a name nor an address"),
        (".".join(["a" * 60] * 5), "is neither a name nor an address"),
        ("nöde", "is neither a name nor an address"),
        ("node:0", "has the port '0'; expected a port from 1 to 65535"),
        ("node:65536", "has the port '65536'"),
        ("node:", "has the port ''"),
        ("node:http", "has the port 'http'"),
        (":8086", "is neither a name nor an address"),
        ("2001:db8::1::2", "is no IPv6 address"),
        ("[192.0.2.1]", "is no IPv6 address"),
        ("[node]:1", "is no IPv6 address"),
        ("[2001:db8::1]8086", "is no IPv6 address"),
        ("2001:db8::1]:8086", "is no IPv6 address"),
        ("239.1.2.3", "is no address of a node"),
        ("ff02::1", "is no address of a node"),
        ("0.0.0.0", "is no address of a node"),
        ("255.255.255.255", "is no address of a node"),
        ("a\0b", "holds a NUL byte"),
        ("'192.0.2.1'", "is neither a name nor an address"),
    ],
)
def test_what_is_told_with_its_line(word: str, text: str) -> None:
    found = fault(f"192.0.2.1\n# next\n  {word}\n192.0.2.2")
    assert found.startswith("drop-hosts:3: ")
    assert text in found
    assert len(parse(f"192.0.2.1\n{word}\n192.0.2.2").entries) == 2


def test_a_host_that_stands_there_twice() -> None:
    assert "'NODE' stands in line 1 already" in fault("node\nNODE\nnode:8086")
    assert "stands in line 1 already" in fault("2001:db8::1\n[2001:DB8:0::1]")


def test_no_more_hosts_than_are_good() -> None:
    text = "".join(f"node-{number}\n" for number in range(HOSTS_MAX + 50))
    hosts = parse(text)
    assert len(hosts.entries) == HOSTS_MAX
    (found,) = hosts.faults
    assert f"drop-hosts:{HOSTS_MAX + 1}: 'node-{HOSTS_MAX}' is one host too many" in str(found)


def test_a_file_of_another_kind() -> None:
    hosts = parse("\x7fELF\0\0 /usr " * 1000, "/bin/true")
    assert (hosts.entries, len(hosts.faults)) == ((), FAULTS_MAX)
    assert max(len(str(each)) for each in parse("x" * 100_000).faults) < 250


@given(st.text(alphabet=st.sampled_from("1.:[]%/\\nra# \n\r\t,\0x-é"), max_size=60) | st.text())
def test_whatever_the_text_is_there_is_an_answer(text: str) -> None:
    hosts = parse(text)
    lines = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    assert all(1 <= each.line <= lines for each in (*hosts.entries, *hosts.faults))
    for each in hosts.entries:  # what was understood means the same when it is written again
        written = f"[{each.host}]" if ":" in each.host else each.host
        again = parse(f"{written}:{each.port}" if each.port else written)
        assert again.entries == (HostEntry(1, each.host, each.port),)
