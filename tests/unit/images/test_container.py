"""What a container is made of: image < options < function."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drop.images.account import Account
from drop.images.container import Container, Limits, container_of, worker_env
from drop.images.faults import ImageError
from drop.images.image_config import Facts, ImageConfig, from_document, from_inspection, to_document
from drop.images.settings import Settings

CONFIG = ImageConfig(
    id="ab" * 32,
    env=("PATH=/opt/bin", "MODE=image", "BROKEN", "EMPTY="),
    entrypoint=("/entry",),
    command=("default",),
    workdir="/srv",
)
FACTS = Facts(CONFIG, "drop:x:1:1::/home/drop:/bin/sh\n", "", has_home=True)


def made(
    settings: Settings | None = None,
    cmd: tuple[str, ...] = (),
    limits: Limits | None = None,
    facts: Facts = FACTS,
) -> Container:
    return container_of(facts, settings or Settings(), cmd, limits or Limits(), "none")


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "command"),
    [
        (None, (), ("/entry", "default")),
        (None, ("mine", "x"), ("/entry", "mine", "x")),
        (("/other",), (), ("/other",)),
        (("/other",), ("x",), ("/other", "x")),
        ((), ("mine",), ("mine",)),
    ],
)
def test_the_command(
    entrypoint: tuple[str, ...] | None, cmd: tuple[str, ...], command: tuple[str, ...]
) -> None:
    assert made(Settings(entrypoint=entrypoint), cmd).command == command


def test_no_command_at_all_says_what_to_do() -> None:
    with pytest.raises(ImageError, match="the function needs the key cmd"):
        made(Settings(entrypoint=()))


def test_the_environment() -> None:
    container = made(Settings(env=(("MODE", "option"), ("MORE", "1"))))
    assert worker_env(container, {"MORE": "2", "DROP_POOL": "p"}) == {
        "PATH": "/opt/bin",
        "HOME": "/home/drop",
        "MODE": "option",
        "EMPTY": "",
        "MORE": "2",
        "DROP_POOL": "p",
    }


def test_an_image_without_a_path_gets_the_usual_one() -> None:
    facts = replace(FACTS, config=replace(CONFIG, env=()))
    assert dict(made(facts=facts).env)["PATH"].endswith("/usr/bin:/sbin:/bin")


@pytest.mark.parametrize(
    ("option", "has_home", "image", "workdir"),
    [
        ("/data", True, "/srv", "/data"),
        (None, True, "/srv", "/home/drop"),
        (None, False, "/srv", "/srv"),
        (None, False, "", "/"),
        (None, False, "relative", "/"),
    ],
)
def test_the_directory(option: str | None, has_home: bool, image: str, workdir: str) -> None:
    facts = replace(FACTS, has_home=has_home, config=replace(CONFIG, workdir=image))
    assert made(Settings(workdir=option), facts=facts).workdir == workdir


def test_options_win_over_the_functions_limits() -> None:
    limits = made(Settings(memory_mib=64, processes=5), limits=Limits(memory_mib=32)).limits
    assert (limits.memory_mib, limits.processes) == (64, 5)


def test_what_is_written_is_bounded_by_the_memory() -> None:
    assert made(limits=Limits(memory_mib=32)).writable_mib == 32
    assert made().writable_mib == 256


def test_too_little_memory() -> None:
    with pytest.raises(ImageError, match="at least 8"):
        made(limits=Limits(memory_mib=4))


def test_the_network_of_the_options_wins() -> None:
    assert made(Settings(network="host")).network == "host"
    assert made().network == "none"
    assert made().account == Account(1, 1, (), "/home/drop")


def test_facts_come_back_as_they_were_kept() -> None:
    assert from_document(to_document(FACTS)) == FACTS


@pytest.mark.parametrize("id", ["ab" * 32, "sha256:" + "ab" * 32])
def test_podman_and_docker_describe_an_image_alike(id: str) -> None:
    document = [
        {
            "Id": id,
            "Config": {
                "Env": ["PATH=/opt/bin", "MODE=image", "BROKEN", "EMPTY="],
                "Cmd": ["default"],
                "Entrypoint": ["/entry"],
                "WorkingDir": "/srv",
                "User": "",
            },
        }
    ]
    assert from_inspection(document, "v:1") == CONFIG
    document[0]["Config"] = None  # type: ignore[assignment]
    assert from_inspection(document, "v:1") == ImageConfig("ab" * 32)


@pytest.mark.parametrize("document", [None, [], [{}], [{"Id": "x"}], [{"Id": 5}], {"Id": "x"}])
def test_an_unknown_description(document: object) -> None:
    with pytest.raises(ImageError, match=r"image v:1: its description has an unknown form"):
        from_inspection(document, "v:1")
