"""What a flow file may say: the frozen models of a flow and its functions. Pure.

The file of the original system is valid here unchanged. The models know all of the language;
which part of it this version runs is `drop.flow.support`. `docs/flow.md` is the reference for
users, `docs/flow.schema.json` is generated from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from drop.flow.command import A_COMMAND, arguments_of
from drop.flow.sections import (
    A_CONTAIN,
    A_NUMBER_OF_WORKERS,
    A_POOL,
    DAY_MS,
    MIB_MAX,
    TEXT_MAX,
    Contain,
    Health,
    OrNumber,
    OrOff,
    PoolName,
    ProcessLimits,
    Subscription,
    Workers,
    as_contain,
    as_workers,
    from_zero,
)
from drop.problems import Source, found
from drop.validation import Expected, Section, Text, TextOrNumber, as_written, wrong

FUNCTIONS_MAX = 4096  # of one flow; four times what one node is tested with
SUBSCRIPTIONS_MAX = 64  # of one function
INFLIGHT_MAX = 1024  # messages that one worker may owe answers for
QUEUE_MAX = 1_048_576  # messages in a mailbox; memory is bounded by the node's memory_max as well
RETRIES_MAX = 100
ENVIRONMENT_MAX = 256
ENVIRONMENT_FILES_MAX = 16
SPARE_MAX = 64  # processes of one exec function that wait for a message
EXEC_WORKERS = 8  # processes of one exec function at a time, when `num` does not say
READY_BYTES_MAX = 256

TIMEOUT_MS = 30_000  # the client's default too: a hung worker must end without anybody's care
START_MS = 30_000  # the same patience for a worker that loads a model before it is ready

KINDS = ("line", "frame", "async", "stream", "exec", "lambda", "mcp")
Kind = Literal["line", "frame", "async", "stream", "exec", "lambda", "mcp"]
Overflow = Literal["default", "reject", "block", "drop-oldest"]

_FLOW_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_A_VARIABLE = "a name of A-Z a-z 0-9 _, with no digit first"
_PACKAGE = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9][A-Za-z0-9_.+-]{0,63})?$"


def _paths(value: object) -> object:
    """One path, or a list of them."""
    value = as_written(value)
    return (value,) if isinstance(value, str) else value


def _ready(value: object) -> object:
    value = as_written(value)
    if isinstance(value, str) and ("\n" in value or len(value.encode()) > READY_BYTES_MAX):
        raise wrong(found(value), f"at most {READY_BYTES_MAX} bytes without a newline")
    return value


class Function(Section):
    """One entry of `func`: a program, how to run it, and where its messages come from."""

    name: Annotated[PoolName, Field(description="The pool's name.")]
    cmd: Annotated[
        tuple[str, ...],
        BeforeValidator(arguments_of),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
                ]
            }
        ),
        Field(description="The command: a text (split like a shell does, no shell) or a list."),
        Expected(A_COMMAND),
    ] = ()
    image: Annotated[
        Text | None,
        Field(min_length=1, max_length=TEXT_MAX, description="Run in this container image."),
        Expected("an image, such as validator:0.1.0"),
    ] = None
    package: Annotated[
        Text | None,
        Field(pattern=_PACKAGE, description="An installed package that supplies the program."),
        Expected("NAME or NAME:VERSION of an installed package"),
    ] = None
    kind: Annotated[
        Kind | None,
        Field(description="The contract on stdin and stdout; absent: by the name, else line."),
        Expected("one of " + ", ".join(KINDS)),
    ] = None
    num: Annotated[
        Workers,
        BeforeValidator(as_workers),
        OrNumber(),
        Field(description="Workers: a number, or {min, max}."),
        Expected(A_NUMBER_OF_WORKERS),
    ] = Workers(min=1, max=1)
    spare: Annotated[
        int | None,
        Field(
            ge=0,
            le=SPARE_MAX,
            description="Kind exec: processes kept ready for a message; 0: one is started for "
            "each; absent: as many as the load needs.",
        ),
        Expected(f"a whole number from 0 to {SPARE_MAX}"),
    ] = None
    inflight: Annotated[
        int,
        Field(ge=1, le=INFLIGHT_MAX, description="Messages outstanding per worker."),
        Expected(f"a whole number from 1 to {INFLIGHT_MAX}"),
    ] = 1
    queue: Annotated[
        int,
        Field(ge=1, le=QUEUE_MAX, description="Messages that the mailbox holds."),
        Expected(f"a whole number from 1 to {QUEUE_MAX}"),
    ] = 1024
    overflow: Annotated[
        Overflow,
        Field(
            description="When the mailbox is full. default: calls are refused, subscriptions wait."
        ),
        Expected("default, reject, block or drop-oldest"),
    ] = "default"
    timeout: Annotated[
        int,
        Field(ge=0, le=DAY_MS, description="Milliseconds for one message; 0: no limit."),
        Expected(from_zero(DAY_MS, "milliseconds, a whole number")),
    ] = TIMEOUT_MS
    retries: Annotated[
        int,
        Field(
            ge=0,
            le=RETRIES_MAX,
            description="How often a message is tried again whose worker died over it.",
        ),
        Expected(from_zero(RETRIES_MAX, "a whole number")),
    ] = 0
    newline: Annotated[
        Literal["refuse", "ncm"],
        Field(
            description="A newline in a message of a line-framed kind: refused, or sent as "
            "TAB ncm TAB."
        ),
        Expected("refuse or ncm"),
    ] = "refuse"
    restart: Annotated[
        Literal["always", "on-failure", "never"],
        Field(description="Whether a worker that ended is started again."),
        Expected("always, on-failure or never"),
    ] = "always"
    ready: Annotated[
        Text | None,
        BeforeValidator(_ready),
        Field(
            min_length=1,
            description="A worker gets no message before a line that begins so is on its stdout.",
        ),
        Expected("text of one line"),
    ] = None
    start: Annotated[
        int,
        Field(ge=1, le=DAY_MS, description="Milliseconds for a worker to say that it is ready."),
        Expected(f"milliseconds, a whole number from 1 to {DAY_MS}"),
    ] = START_MS
    health: Annotated[
        Health | None,
        Field(description="A question that idle workers are asked."),
        Expected("a mapping with message, expect and every"),
    ] = None
    cwd: Annotated[
        Text | None,
        Field(
            min_length=1,
            max_length=TEXT_MAX,
            description="The worker's directory; relative to the flow file, which is the default.",
        ),
        Expected("a directory"),
    ] = None
    env: Annotated[
        Mapping[
            Annotated[str, Field(pattern=_VARIABLE)],
            Annotated[TextOrNumber, Field(max_length=TEXT_MAX, pattern=r"^[^\x00]*$")],
        ],
        Field(
            strict=False,
            max_length=ENVIRONMENT_MAX,
            description="Variables of the worker's environment.",
        ),
        Expected(
            f"a mapping NAME: value of at most {ENVIRONMENT_MAX} variables",
            item="text (true and false need quotes)",
            name=_A_VARIABLE,
        ),
    ] = {}
    env_file: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=TEXT_MAX)], ...],
        BeforeValidator(_paths),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array"}]}),
        Field(
            strict=False,
            max_length=ENVIRONMENT_FILES_MAX,
            description="Files of NAME=VALUE lines for the environment, relative to the flow file.",
        ),
        Expected("a path, or a list of paths", item="a path"),
    ] = ()
    memory: Annotated[
        int | None,
        Field(ge=1, le=MIB_MAX, description="MiB for one worker."),
        Expected(f"MiB, a whole number from 1 to {MIB_MAX}"),
    ] = None
    secrets: Annotated[
        tuple[Annotated[str, Field(pattern=_VARIABLE)], ...],
        Field(
            strict=False,
            max_length=ENVIRONMENT_MAX,
            description="Secrets that the worker finds as files in $CREDENTIALS_DIRECTORY.",
        ),
        Expected("a list of names", item=_A_VARIABLE),
    ] = ()
    user: Annotated[
        Text | None,
        Field(min_length=1, max_length=256, description="The user that the workers run as."),
        Expected("a user's name"),
    ] = None
    contain: Annotated[
        Contain,
        BeforeValidator(as_contain),
        OrOff(),
        Field(description="What keeps a worker from harming the rest of the machine."),
        Expected(A_CONTAIN),
    ] = Contain()
    limits: Annotated[
        ProcessLimits,
        Field(description="What one worker may use, besides memory."),
        Expected("a mapping"),
    ] = ProcessLimits()
    dead_letter: Annotated[
        PoolName | None,
        Field(description="The pool that gets messages which failed for good."),
        Expected(A_POOL),
    ] = None
    delivery: Annotated[
        Literal["at-most-once", "durable"],
        Field(description="durable: at least once, across restarts of the node."),
        Expected("at-most-once or durable"),
    ] = "at-most-once"
    idle: Annotated[
        int | None,
        Field(
            ge=1,
            le=DAY_MS,
            description="Milliseconds without work after which a worker above num.min ends.",
        ),
        Expected(f"milliseconds, a whole number from 1 to {DAY_MS}"),
    ] = None
    sub: Annotated[
        tuple[Subscription, ...],
        Field(
            strict=False,
            max_length=SUBSCRIPTIONS_MAX,
            description="The pools whose answers become messages here.",
        ),
        Expected(f"a list of at most {SUBSCRIPTIONS_MAX} subscriptions", item="a mapping"),
    ] = ()

    @property
    def effective_kind(self) -> Kind:
        return self.kind or kind_by_name(self.name)


class Flow(Section):
    """A whole flow file."""

    name: Annotated[
        str,
        Field(pattern=_FLOW_NAME, description="The flow's name."),
        BeforeValidator(as_written),
        Expected("a flow's name: 1 to 64 of A-Z a-z 0-9 _ - . (not . first)"),
    ]
    priority: Annotated[
        int,
        Field(
            ge=0,
            le=1,
            description="0: on every node of the namespace; 1: only on the one with the VIP.",
        ),
        Expected("0 or 1"),
    ] = 0
    func: Annotated[
        tuple[Function, ...],
        Field(
            strict=False,
            min_length=1,
            max_length=FUNCTIONS_MAX,
            description="The functions of the flow.",
        ),
        Expected(f"a list of 1 to {FUNCTIONS_MAX} functions"),
    ]


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """A flow, the file it came from, and where its keys stand in it."""

    spec: Flow
    source: Source
    directory: str  # absolute: relative programs and directories start here

    @property
    def name(self) -> str:
        return self.spec.name


def kind_by_name(name: str) -> Kind:
    """The original's rule for a function without `kind`."""
    if "_stream" in name:
        return "stream"
    return "async" if "_async" in name else "line"
