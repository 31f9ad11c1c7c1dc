"""What the options mean for a container that is started directly, and which need an engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drop.images.faults import ReferenceFault
from drop.images.reference import parse
from drop.images.settings import Settings, Volume, settings_of


def of(options: str) -> Settings:
    return settings_of(parse(f"{options} v:1"))


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ("", {}),
        ("--network host", {"network": "host"}),
        ("--network none", {"network": "none"}),
        ("-m 64m", {"memory_mib": 64}),
        ("-m 1g", {"memory_mib": 1024}),
        ("-m 8388609", {"memory_mib": 9}),
        ("-m 64MB", {"memory_mib": 64}),
        ("-v /a:/b", {"volumes": (Volume("/a", "/b", False),)}),
        (
            "-v /a:/b:ro -v /c:/d:rw",
            {"volumes": (Volume("/a", "/b", True), Volume("/c", "/d", False))},
        ),
        ("--tmpfs /x", {"tmpfs": (("/x", ()),)}),
        ("--tmpfs /x:size=1m,mode=700", {"tmpfs": (("/x", ("size=1m", "mode=700")),)}),
        ("-e A=1 -e B=x=y", {"env": (("A", "1"), ("B", "x=y"))}),
        ("-u 1000:1000", {"user": "1000:1000"}),
        ("-w /data", {"workdir": "/data"}),
        ("--entrypoint /bin/x", {"entrypoint": ("/bin/x",)}),
        ("--entrypoint ''", {"entrypoint": ()}),
        ("-h web-1", {"hostname": "web-1"}),
        ("--pids-limit 8", {"processes": 8}),
        ("--read-only", {"read_only": True}),
        ("--read-only=false", {}),
        ("--pull=always", {"pull": "always"}),
        ("--security-opt no-new-privileges --label a=b --quiet", {}),
        ("--privileged=false --init=false", {}),
    ],
)
def test_what_needs_no_engine(options: str, changed: dict[str, object]) -> None:
    assert of(options) == replace(Settings(), **changed)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--gpus all", "--gpus"),
        ("--privileged", "--privileged"),
        ("--init", "--init"),
        ("-p 80:80", "--publish"),
        ("--network bridge", "--network=bridge"),
        ("--network container:x", "--network=container:x"),
        ("-v data:/b", "--volume=data:/b"),
        ("-v /a:/b:Z", "--volume=/a:/b:Z"),
        ("--tmpfs /x:uid=5", "--tmpfs"),
        ("--entrypoint '[\"a\"]'", "--entrypoint"),
        ("--pids-limit -1", "--pids-limit"),
        ("--security-opt seccomp=unconfined", "--security-opt"),
        ("--gpus all --privileged", "--gpus"),
    ],
)
def test_what_needs_one(options: str, reason: str) -> None:
    assert reason in of(options).engine_only


@pytest.mark.parametrize(
    "options",
    [
        "-m 1m",
        "-m lots",
        "-m -5",
        "-v /a",
        "-v :/b",
        "-v ./a:/b",
        "-v ~/a:/b",
        "-v a/b:/c",
        "-v /a/../b:/c",
        "-v /a:b",
        "-v /a:/b/../c",
        "--tmpfs x",
        "-e A",
        "-e =1",
        "-e 1A=1",
        "-w data",
        "-h 'a b'",
        "--pull sometimes",
    ],
)
def test_what_nobody_could_take(options: str) -> None:
    with pytest.raises(ReferenceFault) as told:
        of(options)
    assert told.value.expected


def test_a_variable_of_the_node_is_not_shown_in_the_refusal() -> None:
    with pytest.raises(ReferenceFault, match=r"--env=NAME=VALUE") as told:
        of("-e TOKEN")
    assert "TOKEN" in told.value.found
