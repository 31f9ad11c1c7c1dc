"""What a function wants and what a host offers, made into a recipe's arguments: tables."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field, replace

import pytest

from drop.workers.containment import MIB, PLAIN_USER_TASKS, Containment, Groups, Wanted, contain


@dataclass(frozen=True)
class Host:
    uid: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    hard_limits: dict[int, int] = field(default_factory=dict)
    tasks: int = 40
    memory_score: int = 200
    temporary: tuple[str, ...] = ("/tmp", "/var/tmp")
    shared_memory: tuple[str, ...] = ("/dev/shm",)


@dataclass(frozen=True)
class User:
    uid: int = 999
    gid: int = 998


DEFAULT = Wanted()
ROOT_HOST = Host()
NOT_ROOT = "the node does not run as root"
NO_GROUPS = dict.fromkeys(("memory", "pids", "cpu"), "none here")
PLAIN_HOST = Host(
    uid=1000,
    missing=dict.fromkeys(("other_user", "private_tmp", "read_only", "no_network"), NOT_ROOT),
)


def decide(
    wanted: Wanted = DEFAULT,
    host: Host = ROOT_HOST,
    *directories: str,
    user: User | None = None,
    missing: dict[str, str] | None = None,
) -> Containment:
    if missing is None:
        missing = {} if host.uid == 0 else NO_GROUPS
    if user is None:
        user = User(host.uid, host.uid) if host is PLAIN_HOST else User()
    return contain(wanted, host, user, directories=directories, groups_missing=missing)


def test_root_by_default() -> None:
    made = decide(Wanted(), ROOT_HOST, "/srv/function")
    assert made.arguments == {
        "uid": 999,
        "gid": 998,
        "no_new_privileges": True,
        "no_capabilities": False,
        "oom_score_adjust": 200,
        "limits": {resource.RLIMIT_NOFILE: 1024, resource.RLIMIT_CORE: 0},
        "private": [b"/tmp", b"/var/tmp"],
        "private_options": b"mode=1777,size=256m,nr_inodes=65536",
        "kept": [],
    }
    assert made.groups == Groups(processes=512)
    assert made.off == {}
    assert made.warnings == ()


def test_plain_user_by_default() -> None:
    made = decide(Wanted(), PLAIN_HOST, "/home/me/function")
    assert made.arguments == {
        "no_new_privileges": True,
        "no_capabilities": True,
        "oom_score_adjust": 200,
        "limits": {
            resource.RLIMIT_NOFILE: 1024,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NPROC: 40 + PLAIN_USER_TASKS + 512,
        },
    }
    assert made.groups == Groups()
    assert made.off == {"pids": "none here", "private_tmp": NOT_ROOT}
    assert made.warnings == ()  # nobody asked for it by name


def test_the_service_runs_workers_as_somebody_without_its_rights() -> None:
    off = Wanted(no_new_privileges=False, cgroup=False, private_tmp=False)
    made = decide(off, Host(uid=990), missing=NO_GROUPS)
    assert made.arguments == {
        "uid": 999,
        "gid": 998,
        "no_capabilities": True,  # also where programs of the worker may gain rights by themselves
        "oom_score_adjust": 200,
        "limits": {resource.RLIMIT_NOFILE: 1024, resource.RLIMIT_CORE: 0},  # nobody else's tasks
    }


def test_everything_off() -> None:
    off = Wanted(no_new_privileges=False, cgroup=False, private_tmp=False)
    made = decide(off)
    assert "private" not in made.arguments
    assert "no_new_privileges" not in made.arguments
    assert made.groups == Groups()
    assert made.off == {"pids": "the function says cgroup: false"}


def test_worker_that_stays_root() -> None:
    made = decide(user=User(0, 0))
    assert "uid" not in made.arguments
    assert made.arguments["no_capabilities"] is False


def test_all_limits() -> None:
    made = decide(Wanted(memory_mib=64, processes=9, cpu=50, file_size_mib=3, core_mib=1))
    assert made.groups == Groups(memory_mib=64, processes=9, cpu=50)
    assert made.arguments["limits"] == {
        resource.RLIMIT_NOFILE: 1024,
        resource.RLIMIT_CORE: MIB,
        resource.RLIMIT_FSIZE: 3 * MIB,
    }
    assert made.arguments["private_options"] == b"mode=1777,size=64m,nr_inodes=65536"


def test_what_was_asked_for_and_is_not_there_is_a_warning() -> None:
    wanted = Wanted(memory_mib=64, cpu=50, network=False)
    assert decide(wanted, PLAIN_HOST).warnings == (
        "the limit of memory is off: none here",
        "the weight of the CPU is off: none here",
        f"network: none is off: {NOT_ROOT}",
    )


def test_more_files_than_the_node_may_have() -> None:
    made = decide(Wanted(open_files=4096), Host(hard_limits={resource.RLIMIT_NOFILE: 2000}))
    assert made.arguments["limits"][resource.RLIMIT_NOFILE] == 2000
    assert (
        "open_files: 4096 is more than the node may have itself, 2000 is used" in made.warnings[0]
    )


@pytest.mark.parametrize(
    ("directories", "kept"),
    [
        (("/srv/f", "/usr/bin"), []),
        (("/tmp/f", "/usr/bin"), [b"/tmp/f"]),
        (("/tmp/f", "/tmp/f/bin", "/tmp/g"), [b"/tmp/f", b"/tmp/g"]),
        (("/var/tmp/x/y", "/tmpfile"), [b"/var/tmp/x/y"]),
    ],
)
def test_what_the_function_needs_of_tmp_stays(
    directories: tuple[str, ...], kept: list[bytes]
) -> None:
    assert decide(Wanted(), ROOT_HOST, *directories).arguments["kept"] == kept


def test_function_that_is_in_tmp_itself() -> None:
    made = decide(Wanted(), ROOT_HOST, "/tmp")
    assert "private" not in made.arguments
    assert made.off == {"private_tmp": "the function needs /tmp itself"}


def test_read_only_by_mounts() -> None:
    wanted = Wanted(read_only=True, write=("/srv/data", "/tmp/out"))
    made = decide(wanted, ROOT_HOST, "/srv/f").arguments
    assert made["read_only"] is True
    assert made["writable"] == [b"/srv/data", b"/tmp/out"]
    assert made["private"] == [b"/tmp", b"/var/tmp", b"/dev/shm"]
    assert made["kept"] == [b"/tmp/out"]
    assert "landlock" not in made


def test_read_only_with_the_tmp_of_all() -> None:
    made = decide(Wanted(read_only=True, private_tmp=False)).arguments
    assert made["writable"] == []  # /tmp is read-only like everything else
    assert "private" not in made


def test_read_only_by_landlock() -> None:
    made = decide(Wanted(read_only=True, write=("/home/me/out",)), PLAIN_HOST)
    assert made.arguments["landlock"] is True
    assert "read_only" not in made.arguments
    assert made.arguments["writable"] == [b"/home/me/out", b"/tmp", b"/var/tmp", b"/dev/shm"]
    assert made.warnings == ()


def test_read_only_in_a_container_where_root_may_mount_nothing_read_only() -> None:
    host = Host(missing={"read_only": "Linux 5.12 is needed"})
    made = decide(Wanted(read_only=True), host)
    assert made.arguments["landlock"] is True
    assert "private" not in made.arguments
    assert "landlock rules cannot name" in made.off["private_tmp"]


def test_landlock_wants_no_new_privileges() -> None:
    wanted = Wanted(read_only=True, no_new_privileges=False)
    assert decide(wanted, PLAIN_HOST).arguments["no_new_privileges"] is True


def test_read_only_that_cannot_be_had() -> None:
    host = replace(PLAIN_HOST, missing=PLAIN_HOST.missing | {"landlock": "no landlock"})
    made = decide(Wanted(read_only=True), host)
    assert "landlock" not in made.arguments
    assert made.warnings == ("filesystem: read-only is off: no landlock",)
