"""The one place where `drop fun run` and `drop fun test` start a worker: as a node starts it.

The command, the directory, the variables and the secrets are put together by the node's own code.
What is left out: another user and limits, because the worker is whoever runs the command, and
containers.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from drop.cli import errors
from drop.cli.errors import CommandError
from drop.flow.spec import Function
from drop.packages.run import Launch
from drop.secrets.credentials import Credentials, places
from drop.secrets.provision import NotProvided, Provision, Wants
from drop.secrets.store import SecretStore
from drop.workers.environment import worker_environment
from drop.workers.process import Command, LaunchError, Process, launch


@contextmanager
def launcher(function: Function, var_dir: str) -> Iterator[Launch]:
    """Starts workers of a function whose paths are absolute. Raises CommandError.

    Secrets are those of the node in `var_dir`. The files with them are gone when this ends.
    """
    if function.image:
        text = (
            f"{function.name} needs a container: put it into a flow (`package: NAME:VERSION`) and"
            " `drop flow start` that"
        )
        raise CommandError(text, "unsupported", errors.USAGE)
    # A name of our own among those who keep files with secrets: a node may run in `var_dir`.
    mine = os.path.join(var_dir, f"drop-fun-{os.getpid()}")
    credentials = Credentials(mine, places(var_dir, os.environ, os.geteuid()))
    provision = Provision(SecretStore(var_dir), credentials, _warn)
    with ExitStack() as stack:
        stack.callback(credentials.clear)
        yield lambda: _start(function, provision, stack)


def _start(function: Function, provision: Provision, stack: ExitStack) -> Process:
    try:
        given = provision.for_worker(function.name, 1, Wants(function.secrets, function.env_file))
        stack.callback(given.release)
        environment = worker_environment(
            os.environ,
            node=socket.gethostname(),
            flow=function.name,
            pool=function.name,
            worker=1,
            extra=given.environment(function.env),
        )
        return launch(Command(function.cmd, function.cwd, environment))
    except (LaunchError, NotProvided) as error:
        raise CommandError(str(error), "failed") from None


def _warn(text: str) -> None:
    sys.stderr.write(f"drop: warning: {text}\n")
