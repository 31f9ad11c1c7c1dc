"""`drop-node`: runs a node in the foreground, or checks what it would run with.

Exit codes: 0 stopped in order; 1 stopped at once, with work unfinished; 2 the command line, the
configuration or a flow file is wrong, or an address is taken: every fault is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import drop
from drop.errors import ConfigurationError

if TYPE_CHECKING:
    from drop.config import Settings

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "check-config":
            return _check(options)
        return _run(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return USAGE
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] == "drop":
            raise
        print(
            f"drop-node: {name} is not installed; `pip install 'drop-platform[node]'`",
            file=sys.stderr,
        )
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drop-node", description="One node of DROP: runs functions and answers calls to them."
    )
    parser.add_argument("--version", action="version", version=f"drop-node {drop.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", metavar="FILE", help="the configuration; default: see docs/configuration.md"
    )
    common.add_argument(
        "--flow",
        metavar="FILE",
        action="append",
        default=[],
        help="a flow to run, read from where it is; may be given several times",
    )
    common.add_argument("--var-dir", metavar="DIR", help="flows, logs and the socket of this node")
    run = commands.add_parser("run", parents=[common], help="run a node in the foreground")
    run.add_argument(
        "--ready-fd",
        metavar="N",
        type=int,
        help="write the line `ready` to this descriptor when calls are answered",
    )
    commands.add_parser(
        "check-config", parents=[common], help="check the configuration and flow files, run nothing"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    # Late: checking a configuration needs neither the native core nor an event loop.
    from drop.config import load_settings
    from drop.control.control import Control
    from drop.host import journal
    from drop.host.linux import keep_capabilities, missing
    from drop.host.notify import Notifier, take_variables
    from drop.node import Node, run_node

    keep_capabilities()  # before there is any other thread
    lacks = missing()
    if "pidfd_open" in lacks:  # or every worker would fail, each with a riddle of its own
        print(f"drop-node: Linux {os.uname().release}: {lacks['pidfd_open']}", file=sys.stderr)
        return USAGE
    notifier = Notifier(take_variables(os.environ), options.ready_fd)
    settings = load_settings(config=options.config, var_dir=options.var_dir)
    journal.set_up()
    return run_node(
        lambda: Node(settings, options.flow, environ=os.environ, notifier=notifier),
        lambda node: Control(node).on_message,
    )


def _check(options: argparse.Namespace) -> int:
    """Everything that `run` would refuse, short of what only starting shows."""
    from drop.config import load_settings
    from drop.flow.load import load_flow
    from drop.flow.plan import wiring
    from drop.flow.support import warnings
    from drop.packages.resolve import with_packages
    from drop.packages.store import PackageStore
    from drop.problems import ConfigurationErrors

    faults: list[ConfigurationError] = []
    settings: Settings | None = None
    try:
        settings = load_settings(config=options.config, var_dir=options.var_dir)
    except ConfigurationError as error:
        faults.append(error)
    flows = []
    for file in options.flow:
        try:
            flow = load_flow(os.path.abspath(file))
            flows.append(with_packages(flow, PackageStore(settings.var_dir)) if settings else flow)
        except ConfigurationError as error:
            faults.append(error)
    if not faults:
        try:
            wiring(flows)
        except ConfigurationErrors as errors:
            faults.append(errors)
    notes = [*settings.warnings, *_key_faults(settings)] if settings else []
    for note in notes + [note for flow in flows for note in warnings(flow)]:
        print(f"warning: {note}", file=sys.stderr)
    for fault in faults:
        print(fault, file=sys.stderr)
    if settings and not faults:
        where = ", ".join([settings.unix_socket, *map(str, settings.listen)])
        print(f"ok: node {settings.name}, {where}, {len(flows)} flows")
    return USAGE if faults else 0


def _key_faults(settings: Settings) -> list[ConfigurationError]:
    """With such a key file the node runs, and finds no others."""
    from drop.cluster import keys

    try:
        if os.path.lexists(settings.key_file):
            keys.load(settings.key_file)
    except ConfigurationError as error:
        return [error]
    return []


if __name__ == "__main__":
    sys.exit(main())
