"""What tuning recommends and decides: tables of machines, values and policies."""

from __future__ import annotations

import pytest

from drop.host import sockets
from drop.host.limits import DESCRIPTORS_WANTED
from drop.host.tuning.advice import BACKLOG, DESCRIPTORS, GIB, MIB, Machine, Policy, Profile
from drop.host.tuning.judgement import METRICS, judge
from drop.host.tuning.parameters import BY_KEY, NOFILE, PARAMETERS, Group
from drop.host.tuning.plan import Reading, Row, Status, plan, same, writes
from drop.host.tuning.socket_options import BUSY_POLL, BUSY_READ, SOMAXCONN, socket_options

SERVER = Machine(64 * GIB, 16, (6, 1))
SMALL = Machine(512 * MIB, 2, (5, 10))
MACHINES = [SERVER, SMALL, Machine(64 * MIB, 1, (3, 10)), Machine(4096 * GIB, 512, (7, 0))]
THROUGHPUT, LATENCY, EDGE = Profile

# What an operator may expect a row for, by the kernel's names.
ASKED_FOR = """
    vm.swappiness vm.vfs_cache_pressure vm.dirty_ratio vm.dirty_background_ratio
    vm.dirty_writeback_centisecs vm.dirty_expire_centisecs kernel.panic fs.file-max
    net.core.netdev_max_backlog net.core.somaxconn net.ipv4.tcp_syncookies
    net.ipv4.tcp_max_syn_backlog net.ipv4.tcp_max_tw_buckets net.ipv4.tcp_tw_recycle
    net.ipv4.tcp_timestamps net.ipv4.tcp_tw_reuse net.ipv4.tcp_fin_timeout
    net.ipv4.tcp_keepalive_time net.ipv4.tcp_keepalive_probes net.ipv4.tcp_keepalive_intvl
    net.core.wmem_max net.core.rmem_max net.core.rmem_default net.core.wmem_default
    net.ipv4.tcp_rmem net.ipv4.tcp_wmem
"""


def row(
    key: str, current: str | None, machine: Machine = SERVER, profile: Profile = THROUGHPUT,
    **reading: str,
) -> Row:  # fmt: skip
    """The row of one key; all others are absent."""
    readings = dict.fromkeys(BY_KEY, Reading(None)) | {key: Reading(current, **reading)}
    return {each.key: each for each in plan(machine, readings, profile)}[key]


def test_every_parameter_has_a_row() -> None:
    assert set(BY_KEY) == {NOFILE, *ASKED_FOR.split()}
    assert len(PARAMETERS) == len(BY_KEY)
    assert all(each.why and each.effect for each in PARAMETERS)


def test_what_is_recommended_is_what_the_node_asks_for() -> None:
    assert sockets.BACKLOG == BACKLOG
    assert DESCRIPTORS_WANTED == DESCRIPTORS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda each: each.key)
def test_every_recommendation_is_one_that_a_kernel_takes(
    machine: Machine, profile: Profile, parameter: object
) -> None:
    assert parameter in PARAMETERS
    advice = BY_KEY[parameter.key].compute(machine, profile)  # type: ignore[attr-defined]
    if advice is None:
        return
    assert len(advice.values) in (1, 3)
    assert all(0 <= value < 1 << 31 for value in advice.values)
    assert list(advice.values) == sorted(advice.values)  # min, default, max


def values_of(key: str, machine: Machine, profile: Profile) -> tuple[int, ...]:
    advice = BY_KEY[key].compute(machine, profile)
    assert advice is not None
    return advice.values


@pytest.mark.parametrize(
    ("key", "server", "small", "edge"),
    [
        ("vm.dirty_ratio", (3,), (20,), (10,)),
        ("vm.dirty_background_ratio", (1,), (5,), (2,)),
        ("net.core.netdev_max_backlog", (16_384,), (1024,), (1024,)),
        ("net.ipv4.tcp_max_tw_buckets", (262_144,), (16_384,), (16_384,)),
        ("net.core.rmem_max", (16 * MIB,), (2 * MIB,), (2 * MIB,)),
        ("net.core.rmem_default", (MIB,), (212_992,), (212_992,)),
        ("net.ipv4.tcp_rmem", (4096, 131_072, 16 * MIB), (4096, 131_072, 2 * MIB),
         (4096, 131_072, 2 * MIB)),
        ("net.ipv4.tcp_wmem", (4096, 65_536, 16 * MIB), (4096, 65_536, 2 * MIB),
         (4096, 16_384, 2 * MIB)),
    ],
)  # fmt: skip
def test_values_computed_from_the_machine(
    key: str, server: tuple[int, ...], small: tuple[int, ...], edge: tuple[int, ...]
) -> None:
    assert values_of(key, SERVER, THROUGHPUT) == server
    assert values_of(key, SMALL, THROUGHPUT) == small
    assert values_of(key, SMALL, EDGE) == edge


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", list(Profile))
def test_the_background_begins_before_writers_wait(machine: Machine, profile: Profile) -> None:
    (background,) = values_of("vm.dirty_background_ratio", machine, profile)
    (ratio,) = values_of("vm.dirty_ratio", machine, profile)
    assert 1 <= background < ratio <= 20


@pytest.mark.parametrize(
    ("key", "current", "status", "target", "direction"),
    [
        ("fs.file-max", "1000", Status.CHANGE, "262144", "raises"),
        ("fs.file-max", "9223372036854775807", Status.OK, "", ""),
        ("vm.swappiness", "60", Status.CHANGE, "10", "lowers"),
        ("vm.swappiness", "1", Status.OK, "", ""),
        ("kernel.panic", "0", Status.CHANGE, "10", "raises"),
        ("kernel.panic", "-1", Status.OK, "", ""),
        ("kernel.panic", "3", Status.OK, "", ""),
        ("vm.dirty_ratio", "0", Status.OK, "", ""),  # vm.dirty_bytes
        ("vm.dirty_writeback_centisecs", "0", Status.OK, "", ""),  # switched off
        ("net.ipv4.tcp_syncookies", "2", Status.OK, "", ""),
        ("net.ipv4.tcp_tw_reuse", "2", Status.CHANGE, "1", "sets"),
        ("net.ipv4.tcp_tw_reuse", "0", Status.CHANGE, "1", "sets"),
        ("net.ipv4.tcp_rmem", "4096\t131072\t33554432", Status.OK, "", ""),
        ("net.ipv4.tcp_rmem", "4096\t87380\t33554432", Status.CHANGE, "4096 131072 33554432",
         "raises"),
        ("net.ipv4.tcp_rmem", "4096 131072", Status.UNREADABLE, "", ""),
        ("vm.swappiness", "many", Status.UNREADABLE, "", ""),
        ("vm.swappiness", "", Status.UNREADABLE, "", ""),
        (NOFILE, "1024", Status.CHANGE, "65536", "raises"),
        (NOFILE, "524288", Status.OK, "", ""),
    ],
)  # fmt: skip
def test_what_becomes_of_a_value(
    key: str, current: str, status: Status, target: str, direction: str
) -> None:
    found = row(key, current)
    assert (found.status, found.target, found.direction) == (status, target, direction)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda each: each.key)
@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("value", ["0", "1", "500", "1000000", "2147483647"])
def test_nothing_is_lowered_without_the_row_saying_so(
    parameter: object, profile: Profile, value: str
) -> None:
    assert parameter in PARAMETERS
    key = parameter.key  # type: ignore[attr-defined]
    current = " ".join([value] * 3) if key.endswith(("_rmem", "_wmem")) else value
    found = row(key, current, profile=profile)
    if not found.target:
        return
    pairs = list(zip(current.split(), found.target.split(), strict=True))
    if any(int(after) < int(before) for before, after in pairs):
        assert found.direction in ("lowers", "sets")
    limits = BY_KEY[key].group is Group.BUFFERS or key in (NOFILE, "fs.file-max")
    if limits:
        assert all(int(after) >= int(before) for before, after in pairs)


@pytest.mark.parametrize(
    ("kernel", "current", "status"),
    [((6, 18), None, Status.GONE), ((4, 12), None, Status.GONE), ((4, 11), "1", Status.CHANGE),
     ((4, 11), "0", Status.OK), ((4, 11), None, Status.ABSENT)],
)  # fmt: skip
def test_a_parameter_that_newer_kernels_have_no_more(
    kernel: tuple[int, int], current: str | None, status: Status
) -> None:
    found = row("net.ipv4.tcp_tw_recycle", current, Machine(GIB, 1, kernel))
    assert found.status is status
    assert ("gone since Linux 4.12: skipped" in found.note) == (status is Status.GONE)


def test_what_cannot_be_written_from_here_is_not_planned() -> None:
    locked = row("vm.swappiness", "60", locked="read-only here")
    assert (locked.status, locked.note, locked.differs) == (Status.LOCKED, "read-only here", True)
    assert writes([locked]) == []
    needs = row("vm.swappiness", "60", needs="root")
    assert (needs.status, needs.note) == (Status.CHANGE, "needs root")


def test_the_limit_of_descriptors_is_no_value_to_write() -> None:
    assert writes([row(NOFILE, "1024")]) == []


def test_a_profile_may_leave_a_value() -> None:
    found = row("vm.vfs_cache_pressure", "100", profile=EDGE)
    assert (found.status, found.differs, found.recommended) == (Status.LEFT, False, "-")


def test_values_are_compared_as_numbers_in_columns() -> None:
    assert same("4096\t131072\t6291456\n", "4096 131072 6291456")
    assert not same("4096", "4097")


# -- the node's sockets ---------------------------------------------------------------------------


def option(name: str, profile: Profile, **sysctls: int | None) -> int | None:
    names = {"busy_read": BUSY_READ, "busy_poll": BUSY_POLL, "somaxconn": SOMAXCONN}
    found = socket_options(SERVER, profile, {names[key]: each for key, each in sysctls.items()})
    return {each.name: each.value for each in found}[name]


def test_options_of_sockets() -> None:
    for profile in Profile:
        assert option("TCP_NODELAY", profile) == 1
        for left in ("SO_RCVBUF", "SO_SNDBUF", "SO_REUSEPORT"):
            assert option(left, profile) is None


@pytest.mark.parametrize(
    ("profile", "read", "poll", "expected"),
    [
        (LATENCY, 0, 50, 50),
        (LATENCY, 0, 0, None),
        (LATENCY, None, None, None),
        (THROUGHPUT, 50, 50, None),
        (EDGE, 50, 50, None),
    ],
)
def test_busy_poll(
    profile: Profile, read: int | None, poll: int | None, expected: int | None
) -> None:
    assert option("SO_BUSY_POLL", profile, busy_read=read, busy_poll=poll) == expected


def test_the_backlog_is_what_the_kernel_allows() -> None:
    assert option("backlog", THROUGHPUT, somaxconn=128) == 128
    assert option("backlog", THROUGHPUT, somaxconn=65_535) == BACKLOG
    assert option("backlog", THROUGHPUT, somaxconn=None) == BACKLOG


# -- did it help? ---------------------------------------------------------------------------------

RATE, TIME = METRICS[THROUGHPUT], METRICS[LATENCY]


@pytest.mark.parametrize(
    ("before", "after", "helped"),
    [
        ([100, 101, 99, 100, 102], [120, 121, 119, 120, 122], True),
        ([100, 101, 99, 100, 102], [100, 101, 99, 100, 102], False),
        ([100, 101, 99, 100, 102], [90, 91, 89, 90, 92], False),
        ([100, 140, 80, 120, 60], [110, 150, 90, 130, 70], False),  # less than the spread
        ([100, 100, 100, 100, 100], [130, 99, 130, 99, 130], False),  # 3 of 5
        ([100, 100, 100, 100, 100], [130, 130, 130, 130, 99], True),  # 4 of 5
    ],
)
def test_what_counts_as_help(before: list[float], after: list[float], helped: bool) -> None:
    assert judge(before, after, RATE).helped is helped


def test_less_time_is_better() -> None:
    slow, quick = [30.0, 31, 29, 30, 30], [20.0, 21, 19, 20, 20]
    assert judge(slow, quick, TIME).helped
    assert not judge(quick, slow, TIME).helped
    verdict = judge(slow, quick, TIME)
    assert (verdict.before, verdict.after, verdict.wins, verdict.pairs) == (30, 20, 5, 5)


def test_policies_are_all_used() -> None:
    advice = [each.compute(SERVER, THROUGHPUT) for each in PARAMETERS]
    assert {each.policy for each in advice if each} == set(Policy)
