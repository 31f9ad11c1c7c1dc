"""The one place where `drop fun run` and `drop fun test` start a worker: as a node starts it.

By the node's own code: the adapter, the user, the containment, the variables and the secrets are
what a pool of that function would have. Only a function in a directory runs as who started it,
because the directory may be nobody else's to look into.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import cast

from drop.cli import errors
from drop.cli.errors import CommandError
from drop.clock import SystemClock
from drop.config import Settings
from drop.flow.plan import Pool, wiring
from drop.flow.spec import Flow, Function, LoadedFlow
from drop.host import confinement
from drop.host.accounts import own
from drop.host.cgroups import NodeGroups
from drop.packages.run import Launch
from drop.pools.host import Host
from drop.pools.starter import Starter
from drop.problems import Source
from drop.secrets.credentials import Credentials, places
from drop.secrets.provision import Provision
from drop.secrets.store import SecretStore
from drop.workers.pool import Shared
from drop.workers.process import LaunchError, Process

FLOW = "drop-fun"


@contextmanager
def launcher(function: Function, settings: Settings, *, as_me: bool) -> Iterator[Launch]:
    """Starts workers of a function whose paths are absolute. Raises CommandError.

    What was made for them (control groups, files with secrets) is gone when this ends.
    """
    if function.image:
        text = (
            f"{function.name} needs a container: put it into a flow (`package: NAME:VERSION`) and"
            " `drop flow start` that"
        )
        raise CommandError(text, "unsupported", errors.USAGE)
    # A name of our own for what we make: a node may run in the same directory.
    here = os.path.join(settings.var_dir, f"{FLOW}-{os.getpid()}")
    with ExitStack() as stack:
        groups = NodeGroups.open(settings.name, here)
        stack.callback(groups.close)
        candidates = places(settings.var_dir, os.environ, os.geteuid())
        provision = Provision(SecretStore(settings.var_dir), Credentials(here, candidates), _warn)
        stack.callback(provision.clear)
        host = Host(
            # All that a Starter asks of it:
            shared=cast(Shared, SimpleNamespace(report=_report, clock=SystemClock())),
            settings=settings,
            environ=os.environ,
            offers=confinement.probe(),
            groups=groups,
            provision=provision,
        )
        starter = Starter(_planned(function, as_me), host)
        stack.callback(starter.close)
        yield lambda: _start(starter)


def _planned(function: Function, as_me: bool) -> Pool:
    """The pool that a flow with this function alone would have."""
    if as_me:
        function = function.model_copy(update={"user": own().name})
    flow = Flow(name=function.name, func=(function,))
    loaded = LoadedFlow(flow, Source(function.name, {}, {}), os.getcwd())
    return wiring([loaded]).pools[function.name]


def _start(starter: Starter) -> Process:
    try:
        return starter.launch(1)
    except LaunchError as error:
        raise CommandError(str(error), "failed") from None


def _report(level: str, event: str, **fields: object) -> None:
    sys.stderr.write(f"drop: {level}: {fields.get('text', event)}\n")


def _warn(text: str) -> None:
    _report("warning", "secrets", text=text)
