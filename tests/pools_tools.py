"""What tests of `drop.pools` share: planned pools of a few keys, and a host that is real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drop.config import load_settings
from drop.flow.load import parse_flow
from drop.flow.plan import Pool, wiring
from drop.host import confinement
from drop.host.cgroups import NodeGroups
from drop.pools.host import Host
from drop.pools.preparations import Preparations
from drop.secrets.credentials import Credentials
from drop.secrets.provision import Provision
from drop.secrets.store import SecretStore
from node_tools import flow
from real_pool import World


def pool_of(directory: Path = Path("/"), **keys: object) -> Pool:
    """Of a flow file in this directory."""
    loaded = parse_flow(flow("f", keys).encode(), str(directory / "flow.yaml"))
    return wiring([loaded]).pools[str(keys["name"])]


class Machine:
    """A host in one directory, whose dataplane only records."""

    def __init__(self, directory: Path, world: World, **environment: str) -> None:
        self.world = world
        self.directory = directory
        self.secrets = SecretStore(str(directory))
        self.credentials = directory / "run"
        environ = {"PATH": os.environ["PATH"], "DROP_WORKER_USER": "root"} | environment
        self.provision = Provision(
            self.secrets, Credentials(str(directory), [str(self.credentials)]), print
        )
        self.groups = NodeGroups.open("pools test", str(directory))
        self.host = Host(
            shared=world.shared,
            settings=load_settings(environ=environ, var_dir=str(directory)),
            environ=environ,
            offers=confinement.probe(),
            groups=self.groups,
            provision=self.provision,
        )

    def handed_over(self) -> list[str]:
        """The secrets that lie ready for workers, at this moment."""
        return sorted(path.read_text() for path in self.credentials.rglob("*") if path.is_file())

    def with_images(self, preparations: Preparations) -> Host:
        host = self.host
        return Host(
            host.shared,
            host.settings,
            host.environ,
            host.offers,
            host.groups,
            host.provision,
            preparations,
        )


@contextmanager
def machine(directory: Path, world: World, **environment: str) -> Iterator[Machine]:
    made = Machine(directory, world, **environment)
    yield made
    made.groups.close()
    assert made.handed_over() == []
