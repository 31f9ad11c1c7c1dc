"""The one place where `drop fun run` and `drop fun test` start a worker: as a node starts it.

The command, the directory and the environment are made by the node's own code. What only a node
has (another user, limits, a container, the store of secrets) is said when a function asks for it.
"""

from __future__ import annotations

import os
import socket
from functools import partial

from drop.cli import errors
from drop.cli.errors import CommandError
from drop.flow.spec import Function
from drop.packages.run import Launch
from drop.workers.environment import worker_environment
from drop.workers.process import Command, LaunchError, Process, launch

NOT_HERE = "put the function into a flow (`package: NAME:VERSION`) and `drop flow start` that"


def launcher(function: Function) -> Launch:
    """Starts a worker of the function, whose paths are absolute. Raises CommandError."""
    for key, what in (
        ("image", "a container"),
        ("secrets", "secrets"),
        ("env_file", "files of variables"),
    ):
        if getattr(function, key):
            text = f"{function.name} needs {what}: {NOT_HERE}"
            raise CommandError(text, "unsupported", errors.USAGE)
    return partial(_start, function)


def _start(function: Function) -> Process:
    environment = worker_environment(
        os.environ,
        node=socket.gethostname(),
        flow=function.name,
        pool=function.name,
        worker=1,
        extra=function.env,
    )
    try:
        return launch(Command(function.cmd, function.cwd, environment))
    except LaunchError as error:
        raise CommandError(str(error), "failed") from None
