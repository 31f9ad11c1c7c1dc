"""The commands that start workers."""

from __future__ import annotations

import pytest

from drop.images.account import Account
from drop.images.container import Container, Limits
from drop.images.image_config import ImageConfig
from drop.images.launcher import Runtime, engine_argv, engine_env, runtime_argv
from drop.images.reference import parse
from drop.images.settings import settings_of

IMAGE = ImageConfig("ab" * 32)
CRUN = Runtime("crun", "/usr/bin/crun", "1.8", "/x/drop-enclose", "/sys/fs/cgroup/unified")
RUNC = Runtime("runc", "/usr/bin/runc", "1.1", "/x/drop-enclose")


def by_runtime(runtime: Runtime, groups: tuple[str, ...] = ()) -> list[str]:
    return [
        *runtime_argv(
            runtime,
            name="n",
            bundle="/b",
            scratch="/s",
            lower="/l",
            writable_mib=64,
            groups=groups,
        )
    ]


def by_engine(text: str, env: dict[str, str] | None = None) -> list[str]:
    reference = parse(text)
    settings = settings_of(reference)
    container = Container(
        command=("prog",),
        env=(),
        account=Account(5, 6, (7,)),
        workdir="/w",
        network=settings.network or "none",
        limits=Limits(memory_mib=settings.memory_mib or 64),
        settings=settings,
    )
    return [
        *engine_argv(
            ("/usr/bin/podman", "--runtime", "runc"),
            "podman",
            name="n",
            labels=("a=b",),
            image=IMAGE,
            container=container,
            options=reference.options,
            cmd=("x", "y"),
            env=env or {},
            limits=("--ulimit=nproc=9:9",),
        )
    ]


def test_crun_enters_the_groups_and_makes_none() -> None:
    assert by_runtime(CRUN, ("/g/1", "/g/2")) == [
        *("/x/drop-enclose", "-g", "/g/1", "-g", "/g/2", "-u", "/sys/fs/cgroup/unified"),
        *("-s", "/s", "-z", "64", "-l", "/l"),
        *("/usr/bin/crun", "--root", "/s/state", "--cgroup-manager", "disabled"),
        *("run", "--bundle", "/b", "--pid-file", "/s/pid", "n"),
    ]


def test_runc() -> None:
    assert by_runtime(RUNC) == [
        *("/x/drop-enclose", "-s", "/s", "-z", "64", "-l", "/l"),
        *("/usr/bin/runc", "--root", "/s/state"),
        *("run", "--bundle", "/b", "--pid-file", "/s/pid", "n"),
    ]


def test_an_engine_is_given_the_options_and_the_image_by_its_digest() -> None:
    argv = by_engine("--gpus all --pull always -l x=y v:1")
    assert argv[:5] == ["/usr/bin/podman", "--runtime", "runc", "run", "--rm"]
    assert argv[-3:] == [IMAGE.id, "x", "y"]
    assert {
        *("--interactive", "--network=none", "--user=5:6", "--group-add=7", "--workdir=/w"),
        *("--memory=64m", "--pids-limit=512", "--ulimit=core=0:0", "--ulimit=nofile=1024:1024"),
        *("--gpus=all", "--label=x=y", "--label=a=b", "--pull=never", "--ulimit=nproc=9:9"),
        "--security-opt=no-new-privileges",
    } <= {*argv}
    assert "--pull=always" not in argv
    assert not {"-t", "--tty", "-d", "--detach"} & {*argv}


@pytest.mark.parametrize("option", ["--user=root", "--network=host", "--memory=9m"])
def test_what_may_be_given_once_is_given_once(option: str) -> None:
    name = option.partition("=")[0]
    assert [each for each in by_engine(f"--init {option} v:1") if each.startswith(name)] == [option]


def test_values_of_variables_are_not_on_the_command_line() -> None:
    env = {"SECRET": "s3cret", "PATH": "/opt/bin", "DOCKER_HOST": "mine"}
    argv = by_engine("--init v:1", env)
    assert "s3cret" not in " ".join(argv)
    assert argv[argv.index("SECRET") - 1] == "--env"
    own = {"PATH": "/usr/bin", "DOCKER_HOST": "unix:///run/docker.sock"}
    # These two would change the engine itself, so they travel on its command line.
    assert {"PATH=/opt/bin", "DOCKER_HOST=mine"} <= {*argv}
    assert engine_env(own, env) == own | {"SECRET": "s3cret"}
