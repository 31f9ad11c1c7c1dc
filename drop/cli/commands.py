"""The long way in: help, completion, short flags and errors of the `drop` command, by typer.

Each command is built from the signature of the function that does the work (see forms) and the
texts here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from drop.cli.forms import ALIASES, COMMANDS, Form


class Text(NamedTuple):
    """What help says about a parameter."""

    help: str
    metavar: str | None = None
    short: str = ""
    hidden: bool = False


#: By command, where commands differ, or by parameter.
PARAMETERS = {
    "pool": Text("Name of the pool."),
    "message": Text("The message; `-` or nothing: all of stdin."),
    "flow": Text("Name of the flow."),
    "flow start.flow": Text("A flow file, or the name of a flow that the node has."),
    "file": Text("Take the message from a file, byte for byte.", "FILE"),
    "lines": Text("Each line of stdin (or of the file) is a message."),
    "raw": Text("Keep the newline at the end of stdin, and add none to the answer."),
    "timeout": Text("How long to wait for an answer; 30 when not given.", "SECONDS"),
    "json": Text("Print JSON, one document a line."),
    "address": Text(
        "HOST:PORT or unix:PATH; else DROP_ADDRESS, else the node of this machine.",
        "ADDRESS",
    ),
    "token_file": Text("File that holds the token; else DROP_TOKEN.", "FILE"),
    "filter": Text("Only answers that contain these bytes.", "TEXT"),
    "wait": Text("Lose no event: slow the pool down when they come too fast."),
    "subscribe.count": Text("End after so many events.", "N"),
    "ping.count": Text("How many round trips.", "N"),
    "connections": Text("Connections to the node.", "C"),
    "depth": Text("Calls outstanding on each connection.", "D"),
    "size": Text("Bytes of each message.", "BYTES"),
    "seconds": Text("How long to measure, behind a warm-up of 0.3 s.", "S"),
    "timeout_ms": Text("Time limit that travels with each call; 0: none.", "MS"),
    "payload": Text("The message to send, instead of one of --size bytes.", "TEXT"),
    "payload_file": Text("File that holds the message to send.", "FILE"),
    "verify": Text("Check that every answer is an echo of its message."),
    "interval": Text("Time between two looks.", "SECONDS"),
    "once": Text("Print one look and end."),
    "follow": Text("Go on with lines as they come.", short="-f"),
    "logs.lines": Text("How many of the last lines; 20, or all with --since.", "N", "-n"),
    "logs.pool": Text("Name of the pool, or a pattern with *; else all.", "POOL"),
    "logs.flow": Text("Only pools of this flow.", "FLOW"),
    "logs.worker": Text("Only lines of this worker of each pool.", "N"),
    "logs.call": Text("Only lines written about this call: 16 hex digits, as in the log.", "ID"),
    "since": Text("Only lines since then: 90s, 15m, 2h, 1d, or a time as in the log.", "WHEN"),
    "grep": Text("Only lines in which this regular expression matches.", "PATTERN"),
    "name": Text("Name of the secret."),
    "node": Text("Name of the node, or the begin of its id."),
    "target": Text("POOL for all of its workers, or POOL/N for one."),
    "worker kill.target": Text("The worker: POOL/N."),
    "worker list.flow": Text("Only those of this flow.", "FLOW"),
    "worker list.pool": Text("Only those of this pool.", "POOL"),
    "signal": Text("Name or number of the signal.", "SIGNAL"),
    "fun init.name": Text("Name of the function, and of the directory that is made."),
    "fun init.lang": Text("bash, c, cpp, go, node, perl, python, ruby or rust.", "LANGUAGE"),
    "fun pack.directory": Text("The directory that holds function.yaml."),
    "fun pack.output": Text("Where to; else NAME-VERSION.dropfn here.", "FILE", "-o"),
    "source": Text("An archive, a directory, a URL, or image:NAME:TAG."),
    "sha256": Text("The digest that the archive has to have.", "HEX"),
    "function": Text("NAME:VERSION, or NAME for the newest."),
    "fun remove.function": Text("NAME:VERSION."),
    "fun run.function": Text("A directory with function.yaml, NAME or NAME:VERSION."),
    "fun test.function": Text("A directory with function.yaml, NAME or NAME:VERSION."),
    "fun remove.force": Text("Also when a flow uses it."),
    **{
        f"fun {each}.var_dir": Text("The node's directory; else this user's.", "DIRECTORY")
        for each in ("install", "list", "info", "remove", "run", "test")
    },
    "key generate.output": Text(
        "Write it there, for other nodes, and leave this one as it is; -: to stdout.", "FILE", "-o"
    ),
    "key install.source": Text("File that holds the key; -: stdin."),
    "key rotate.finish": Text("Accept only the key that signs."),
    **{
        f"key {each}.var_dir": Text("The node's directory; else this user's.", "DIRECTORY")
        for each in ("generate", "install", "rotate", "show")
    },
    "fun info.verify": Text("Read all files and compare their digests."),
    "value": Text("Never here: it comes from stdin, from --file, or is asked for.", hidden=True),
    "secret set.file": Text("Take the value from a file, byte for byte.", "FILE"),
    "secret set.raw": Text("Keep the newline at the end of stdin."),
    "force": Text("Also while functions that run use it."),
    "var_dir": Text("The directory of a node that does not run.", "DIRECTORY"),
    "worker_user": Text("As in the node's configuration.", "USER"),
    "tune.apply": Text("Write what is recommended, after a question."),
    "tune.persist": Text("Keep it over restarts: /etc/sysctl.d and the service's LimitNOFILE."),
    "tune.revert": Text("Put back what was there before, values and files."),
    "tune.check": Text("Print only what has drifted; exit code 1 if there is anything."),
    "tune.measure": Text("Benchmark each group of values and keep what helped."),
    "tune.yes": Text("Do not ask."),
    "profile": Text("throughput, latency or edge; else what was applied or configured.", "NAME"),
    "tune.var_dir": Text("The node's directory; else this user's.", "DIRECTORY"),
    "mcp.timeout": Text("How long to wait for an answer; 600 when not given.", "SECONDS"),
    "directory": Text("Where the logs are, without asking the node.", "DIRECTORY"),
}

SUMMARIES = {
    "call": "Send a message to a pool and print the answer.",
    "cast": "Send a message to a pool and forget it.",
    "publish": "Send a message to a pool; its answer goes to the pool's subscribers.",
    "subscribe": "Print a line for each answer of a pool, as it comes.",
    "bench": "Measure how fast a pool answers.",
    "top": "Watch the pools of a node.",
    "logs": "Show what workers wrote to stderr.",
    "stats": "Print what the node counts, for one pool or all.",
    "ping": "Time round trips to the node.",
    "tune": "Show, write and undo the kernel's settings that suit a node.",
    "doctor": "Show what workers are kept from here, what is off and why.",
    "mcp": "Serve a pool of kind mcp as an MCP server on stdin and stdout.",
    "flow list": "List the flows of the node.",
    "flow start": "Start a flow.",
    "flow stop": "Stop a flow.",
    "flow info": "Show a flow's pools and workers.",
    "fun init": "Make a directory with a function that runs at once.",
    "fun pack": "Build a function and pack it into an archive.",
    "fun install": "Install a package.",
    "fun list": "List the installed packages.",
    "fun info": "Show what an installed package is.",
    "fun remove": "Remove a version of a package.",
    "fun run": "Run a function here; lines typed are messages.",
    "fun test": "Run the cases of a function.",
    "worker list": "List workers and what each is doing.",
    "worker restart": "Start workers anew, one after the other; no message is lost.",
    "worker kill": "Send a signal to a worker; the node starts another one.",
    "node list": "List all nodes that have been seen.",
    "node watch": "Print a line whenever a node comes, goes or is suspected.",
    "node forget": "Take a node that is dead or has left off the list.",
    "node interfaces": "Show which network interface the node uses, and why.",
    "key generate": "Make a key that nodes know each other by.",
    "key install": "Accept a key; it is the node's when it has none.",
    "key rotate": "Sign with the key that was installed last.",
    "key show": "Show the fingerprints of the node's keys.",
    "secret set": "Keep a secret; workers that use it are replaced in turn.",
    "secret list": "List the secrets, without their values.",
    "secret remove": "Forget a secret.",
    "secret rotate": "Replace workers that have older values than there are now.",
}


GROUPS = {
    "flow": "Start and stop flows.",
    "fun": "Make, test, pack and install functions.",
    "worker": "Look at the processes behind the pools, and restart them.",
    "node": "See which nodes there are.",
    "key": "Make, install and exchange the keys of nodes.",
    "secret": "Keep what functions need and nobody else may see.",
}

Choose = Callable[[Callable[[], int]], None]


def build(choose: Choose) -> typer.Typer:
    """The whole command line; `choose` gets what the arguments ask for, ready to run."""
    app = typer.Typer(
        help="Call functions on a DROP node and look after it.",
        epilog="Exit codes: 0 ok, 1 function error, 2 usage, 3 unreachable, 4 timeout,"
        " 5 overloaded.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_main)
    groups = {"": app}
    for name, help_ in GROUPS.items():
        groups[name] = typer.Typer(help=help_, no_args_is_help=True)
        app.add_typer(groups[name], name=name)
    for path, form in COMMANDS.items():
        group, _, name = path.rpartition(" ")
        groups[group].command(name, help=SUMMARIES[path])(_command(path, form, choose))
    for alias, path in ALIASES.items():
        app.command(alias, help=SUMMARIES[path], hidden=True)(
            _command(path, COMMANDS[path], choose)
        )
    return app


def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from drop import __version__

        typer.echo(f"drop {__version__}")
        raise typer.Exit


def _command(path: str, form: Form, choose: Choose) -> Callable[..., None]:
    """A function with the signature that typer makes a command of."""
    action = form.load()
    hints = get_type_hints(action)

    def command(**values: Any) -> None:
        choose(partial(action, **values))

    parameters = [
        parameter.replace(
            annotation=Annotated[
                hints[name], _describe(path, name, positional=name in form.positionals)
            ]
        )
        for name, parameter in inspect.signature(action).parameters.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _describe(path: str, name: str, *, positional: bool) -> Any:
    text = PARAMETERS.get(f"{path}.{name}") or PARAMETERS[name]
    if positional:
        return typer.Argument(help=text.help, show_default=False, hidden=text.hidden)
    flags = [f"--{name.replace('_', '-')}", *([text.short] if text.short else [])]
    return typer.Option(*flags, help=text.help, metavar=text.metavar)
