"""Where a process is in the control groups, their names, and what is written: on texts alone."""

import pytest

from drop.host.cgroup_tree import (
    Limits,
    Place,
    Setting,
    node_group,
    places,
    pool_group,
    settings,
    weight,
)

VERSION_1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
"""
VERSION_2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_has_a_place_for_each_hierarchy() -> None:
    membership = "4:memory:/system.slice/drop.service\n2:cpu,cpuacct:/\n1:name=systemd:/\n"
    assert places(membership, VERSION_1) == (
        Place(1, frozenset({"memory"}), "/sys/fs/cgroup/memory/system.slice/drop.service"),
        Place(1, frozenset({"cpu", "cpuacct"}), "/sys/fs/cgroup/cpu,cpuacct"),
        Place(1, frozenset({"name=systemd"}), "/sys/fs/cgroup/systemd"),
    )


def test_version_2_has_one_place() -> None:
    membership = "0::/user.slice/user-1000.slice/session-2.scope\n"
    directory = "/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope"
    assert places(membership, VERSION_2) == (Place(2, frozenset(), directory),)


def test_both_at_once() -> None:
    unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    found = places("8:pids:/a\n0::/b\n", VERSION_1 + unified)
    assert [(each.version, each.directory) for each in found] == [
        (1, "/sys/fs/cgroup/pids/a"),
        (2, "/sys/fs/cgroup/unified/b"),
    ]


@pytest.mark.parametrize(
    ("path", "root", "directory"),
    [
        ("/docker/ab/x", "/docker/ab", "/sys/fs/cgroup/pids/x"),  # a container sees its part only
        ("/docker/ab", "/docker/ab", "/sys/fs/cgroup/pids"),
        ("/docker/abc", "/docker/ab", None),
        ("/../other", "/", None),  # outside of this cgroup namespace
    ],
)
def test_part_of_a_hierarchy(path: str, root: str, directory: str | None) -> None:
    mount = f"39 31 0:36 {root} /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    found = [each.directory for each in places(f"8:pids:{path}\n", mount)]
    assert found == ([] if directory is None else [directory])


def test_blanks_in_mount_points() -> None:
    mount = r"39 31 0:36 / /mnt/my\040groups rw - cgroup cgroup rw,pids"
    assert places("8:pids:/\n", mount)[0].directory == "/mnt/my groups"


def test_what_is_not_mounted_is_left_out() -> None:
    assert places("8:pids:/\n0::/\n", "") == ()


def test_names_are_safe_and_differ() -> None:
    assert pool_group("word_count") == "pool-word_count"
    assert pool_group("a/b:c") == "pool-a%2Fb%3Ac"
    assert pool_group("..") == "pool-.."  # no way up
    long = [pool_group("/" * 127 + last) for last in "ab"]
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 255
    assert node_group("n", "/var/lib/drop") != node_group("n", "/tmp/drop")
    assert "/" not in node_group("a/b", "/")


def test_only_what_is_limited_needs_a_controller() -> None:
    assert Limits().controllers() == ()
    assert Limits(processes=512).controllers() == ("pids",)
    assert Limits(64, 512, 50).controllers() == ("pids", "memory", "cpu")


def test_settings_of_version_1() -> None:
    limits = Limits(64, 512, 50)
    assert settings(1, "pids", limits) == (Setting("pids.max", "512"),)
    assert settings(1, "cpu", limits) == (Setting("cpu.shares", "512"),)
    assert [(each.file, each.text) for each in settings(1, "memory", limits)] == [
        ("memory.memsw.limit_in_bytes", "-1"),
        ("memory.limit_in_bytes", "67108864"),
        ("memory.memsw.limit_in_bytes", "67108864"),
    ]
    assert settings(1, "memory", Limits())[1].text == "-1"


def test_settings_of_version_2() -> None:
    limits = Limits(64, 512, 50)
    assert settings(2, "pids", limits) == (Setting("pids.max", "512"),)
    assert settings(2, "cpu", limits) == (Setting("cpu.weight", "50"),)
    assert [(each.file, each.text, each.optional) for each in settings(2, "memory", limits)] == [
        ("memory.max", "67108864", False),
        ("memory.swap.max", "0", True),
        ("memory.oom.group", "1", True),
    ]
    assert settings(2, "pids", Limits()) == (Setting("pids.max", "max"),)
    assert settings(2, "memory", Limits())[0].text == "max"


def test_weights_stay_in_the_kernels_range() -> None:
    assert weight(1, 1).text == "10"
    assert weight(1, 10_000_000).text == "262144"
    assert weight(2, 10_000_000).text == "10000"
    assert weight(2, 0).text == "1"
