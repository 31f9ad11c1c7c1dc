"""What a flow file may say: frozen models, and the rules that concern several keys. Pure.

The file of the original system is valid here unchanged. The models know all of the language;
which part of it this version runs is `drop.flow.support`. `docs/flow.md` is the reference for
users, `docs/flow.schema.json` is generated from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from drop.flow.command import A_COMMAND, arguments_of
from drop.problems import Source, found
from drop.validation import Expected, Section, Text, TextOrNumber, as_written, wrong

FUNCTIONS_MAX = 4096  # of one flow; four times what one node is tested with
SUBSCRIPTIONS_MAX = 64  # of one function
WORKERS_MAX = 1024  # of one pool on one node
INFLIGHT_MAX = 1024  # messages that one worker may owe answers for
QUEUE_MAX = 1_048_576  # messages in a mailbox; memory is bounded by the node's memory_max as well
TIMEOUT_MS_MAX = 86_400_000  # a day
MEMORY_MIB_MAX = 1_048_576  # a TiB
RETRIES_MAX = 100
ENVIRONMENT_MAX = 256
TEXT_MAX = 4096  # characters of an argument, a path, a value of the environment
FILTER_BYTES_MAX = 1024  # as for a subscriber of the protocol

TIMEOUT_MS = 30_000  # the client's default too: a hung worker must end without anybody's care

KINDS = ("line", "frame", "async", "stream", "exec", "lambda", "mcp")
Kind = Literal["line", "frame", "async", "stream", "exec", "lambda", "mcp"]
Overflow = Literal["default", "reject", "block", "drop-oldest"]

_POOL_NAME = r"^[A-Za-z0-9_.:/-]{1,128}$"
_FLOW_NAME = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_A_VARIABLE = "a name of A-Z a-z 0-9 _, with no digit first"
_A_POOL = "a pool's name: 1 to 128 of A-Z a-z 0-9 _ . : - /"
_A_NUMBER_OF_WORKERS = (
    f"a whole number from 1 to {WORKERS_MAX}, or {{min: A, max: B}} with 0 <= A <= B and 1 <= B"
)

# The pattern stands before the validator, or the published schema would not show it.
PoolName = Annotated[str, Field(pattern=_POOL_NAME), BeforeValidator(as_written), Expected(_A_POOL)]


def _from_zero(limit: int, what: str) -> str:
    return f"{what} from 0 to {limit}"


def _no_filter(value: object) -> object:
    """`no` means "everything", as in the original; so does an empty value."""
    value = as_written(value)
    if value is None or value == "no":
        return ""
    if isinstance(value, str) and len(value.encode()) > FILTER_BYTES_MAX:
        raise wrong(f"found {len(value.encode())} bytes", f"at most {FILTER_BYTES_MAX} bytes")
    return value


class Subscription(Section):
    """The answers of pool `name` become messages of the function that holds this."""

    name: Annotated[PoolName, Field(description="The pool whose answers become messages here.")]
    filter: Annotated[
        TextOrNumber,
        BeforeValidator(_no_filter),
        Field(description="Bytes that an answer must contain; `no`, empty or absent: everything."),
        Expected("text (true and false need quotes)"),
    ] = ""
    type: Annotated[
        Literal["one", "all", "done", "dall"],
        BeforeValidator(lambda value: "one" if value == "sone" else value),
        WithJsonSchema({"enum": ["one", "all", "done", "dall", "sone"]}),
        Field(
            description="Which workers get it: one local, all local, one on any node, one on "
            "each node."
        ),
        Expected("one, all, done, dall, or sone (the same as one)"),
    ] = "one"

    @property
    def mode(self) -> Literal["one", "all"]:
        """On a single node, "one worker on any (or on each) node" is one worker."""
        return "all" if self.type == "all" else "one"


class Workers(Section):
    """How many workers: min without work, max under load."""

    min: Annotated[
        int,
        Field(ge=0, le=WORKERS_MAX, description="Workers without any work."),
        Expected(_from_zero(WORKERS_MAX, "a whole number")),
    ]
    max: Annotated[
        int,
        Field(ge=1, le=WORKERS_MAX, description="Workers at full load."),
        Expected(f"a whole number from 1 to {WORKERS_MAX}"),
    ]


class _OrNumber:
    """Tells the published schema of the short form that `_workers` takes."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        number = {"type": "integer", "minimum": 1, "maximum": WORKERS_MAX}
        return {"anyOf": [number, handler(schema)]}


def _workers(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= WORKERS_MAX:
        return {"min": int(value), "max": int(value)}
    if isinstance(value, (dict, Workers)):
        return value
    raise wrong(found(value), _A_NUMBER_OF_WORKERS)


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
    kind: Annotated[
        Kind | None,
        Field(description="The contract on stdin and stdout; absent: by the name, else line."),
        Expected("one of " + ", ".join(KINDS)),
    ] = None
    num: Annotated[
        Workers,
        BeforeValidator(_workers),
        _OrNumber(),
        Field(description="Workers: a number, or {min, max}."),
        Expected(_A_NUMBER_OF_WORKERS),
    ] = Workers(min=1, max=1)
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
        Field(ge=0, le=TIMEOUT_MS_MAX, description="Milliseconds for one message; 0: no limit."),
        Expected(_from_zero(TIMEOUT_MS_MAX, "milliseconds, a whole number")),
    ] = TIMEOUT_MS
    retries: Annotated[
        int,
        Field(
            ge=0,
            le=RETRIES_MAX,
            description="How often a message is tried again whose worker died over it.",
        ),
        Expected(_from_zero(RETRIES_MAX, "a whole number")),
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
    memory: Annotated[
        int | None,
        Field(ge=1, le=MEMORY_MIB_MAX, description="MiB for one worker."),
        Expected(f"MiB, a whole number from 1 to {MEMORY_MIB_MAX}"),
    ] = None
    secrets: Annotated[
        tuple[Annotated[str, Field(pattern=_VARIABLE)], ...],
        Field(
            strict=False,
            max_length=ENVIRONMENT_MAX,
            description="Names of secrets to put into the environment.",
        ),
        Expected("a list of names", item=_A_VARIABLE),
    ] = ()
    user: Annotated[
        Text | None,
        Field(min_length=1, max_length=256, description="The user that the workers run as."),
        Expected("a user's name"),
    ] = None
    dead_letter: Annotated[
        PoolName | None,
        Field(description="The pool that gets messages which failed for good."),
        Expected(_A_POOL),
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
            le=TIMEOUT_MS_MAX,
            description="Milliseconds without work after which a worker above num.min ends.",
        ),
        Expected(f"milliseconds, a whole number from 1 to {TIMEOUT_MS_MAX}"),
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
