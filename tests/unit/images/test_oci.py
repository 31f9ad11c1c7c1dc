"""The config.json of a bundle, and the filter of system calls in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drop.images import oci
from drop.images.account import Account
from drop.images.container import Container, Limits
from drop.images.seccomp import Filter, runtime_profile
from drop.images.settings import Settings, Volume

USER = Account(1000, 1000, (4,), "/home/x")
LIMITS = Limits()
SETTINGS = Settings()
FILTER = Filter({"defaultAction": "SCMP_ACT_ERRNO"})


def document(
    account: Account = USER,
    network: str = "none",
    limits: Limits = LIMITS,
    settings: Settings = SETTINGS,
    **more: Any,
) -> dict[str, Any]:
    container = Container(("prog", "--x"), (), account, "/work", network, limits, settings)
    keys: dict[str, Any] = {"root": "/r", "env": {"A": "b c"}, "hostname": "h", "seccomp": None}
    made = oci.config(container, **(keys | more))
    json.dumps(made)  # it is to be written
    return made


def mounts(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["destination"]: each for each in made["mounts"]}


def test_the_process() -> None:
    process = document()["process"]
    assert process["args"] == ["prog", "--x"]
    assert process["env"] == ["A=b c"]
    assert process["cwd"] == "/work"
    assert process["terminal"] is False
    assert process["noNewPrivileges"] is True
    assert process["user"] == {
        "uid": 1000,
        "gid": 1000,
        "additionalGids": [1000, 4],
        "umask": 0o022,
    }


def test_only_root_has_capabilities_and_few() -> None:
    user = document()["process"]["capabilities"]
    root = document(account=Account(0, 0))["process"]["capabilities"]
    assert not any(user.values())
    assert root["effective"] == root["bounding"] == [*oci.ROOT_CAPABILITIES]
    assert not {"CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_RAW"} & {*root["bounding"]}
    assert root["inheritable"] == root["ambient"] == []


def test_namespaces_and_hidden_paths() -> None:
    linux = document()["linux"]
    kinds = {each["type"] for each in linux["namespaces"]}
    assert kinds == {"pid", "ipc", "uts", "mount", "cgroup", "network"}
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= {*linux["maskedPaths"]}
    assert {"/proc/sys", "/proc/sysrq-trigger"} <= {*linux["readonlyPaths"]}


def test_the_machines_network_is_shared_with_its_names() -> None:
    made = document(network="host", network_files=["/etc/hosts"])
    assert "network" not in {each["type"] for each in made["linux"]["namespaces"]}
    assert mounts(made)["/sys"]["type"] == "bind"
    assert "ro" in mounts(made)["/etc/hosts"]["options"]
    assert "/etc/hosts" not in mounts(document(network_files=["/etc/hosts"]))


def test_limits() -> None:
    limits = Limits(open_files=10, file_size_mib=2, core_mib=1)
    found = {each["type"]: each["hard"] for each in document(limits=limits)["process"]["rlimits"]}
    assert found == {"RLIMIT_NOFILE": 10, "RLIMIT_CORE": 1 << 20, "RLIMIT_FSIZE": 2 << 20}
    assert len(document()["process"]["rlimits"]) == 2


def test_volumes_bring_no_devices_and_no_rights() -> None:
    volumes = (Volume("/a", "/b", True), Volume("/c", "/d", False))
    found = mounts(document(settings=Settings(volumes=volumes)))
    assert found["/b"]["source"] == "/a"
    assert {"nodev", "nosuid", "rprivate", "ro"} <= {*found["/b"]["options"]}
    assert "ro" not in found["/d"]["options"]


def test_a_tmpfs_is_bounded_unless_it_says_how() -> None:
    settings = Settings(tmpfs=(("/x", ()), ("/y", ("size=1m",))))
    found = mounts(document(settings=settings))
    assert {"size=65536k", "mode=1777", "nosuid", "nodev"} <= {*found["/x"]["options"]}
    assert "size=65536k" not in found["/y"]["options"]


def test_a_read_only_root_leaves_room_for_temporary_files() -> None:
    made = document(settings=Settings(read_only=True))
    assert made["root"] == {"path": "/r", "readonly": True}
    assert {"/tmp", "/run"} <= mounts(made).keys()


def test_the_group_of_a_runtime_that_insists_allows_no_devices() -> None:
    linux = document(cgroup="/a/b")["linux"]
    assert linux["cgroupsPath"] == "/a/b"
    first, *allowed = linux["resources"]["devices"]
    assert first == {"allow": False, "access": "rwm"}
    assert all(each["type"] == "c" and each["major"] in (1, 5, 136) for each in allowed)
    assert "resources" not in document()["linux"]


def test_the_filter_is_plain_or_compiled() -> None:
    plain = document(seccomp=FILTER)
    assert plain["linux"]["seccomp"] == FILTER.profile
    compiled = document(seccomp=Filter(FILTER.profile, "AAAA"))
    assert compiled["annotations"] == {"run.oci.seccomp_bpf_data": "AAAA"}
    assert "seccomp" not in compiled["linux"]


PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "x"},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["mount"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 1,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["cacheflush"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ", "comment": "y"}],
        },
    ],
}


def test_a_profile_is_made_for_this_machine_and_these_capabilities() -> None:
    assert runtime_profile(PROFILE, "x86_64", ()) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }


def test_capabilities_allow_more() -> None:
    made = runtime_profile(PROFILE, "x86_64", ("CAP_SYS_ADMIN",))
    assert made is not None
    assert {"names": ["mount"], "action": "SCMP_ACT_ALLOW"} in made["syscalls"]
    assert len(made["syscalls"]) == 4


def test_an_unknown_machine_has_no_profile() -> None:
    assert runtime_profile(PROFILE, "pdp11", ()) is None


@pytest.mark.parametrize("missing", ["defaultAction", "syscalls"])
def test_a_broken_profile(missing: str) -> None:
    with pytest.raises(KeyError):
        runtime_profile({k: v for k, v in PROFILE.items() if k != missing}, "x86_64", ())
