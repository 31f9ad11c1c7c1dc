"""The mappings inside a function of a flow file: subscriptions, workers, health, containment. Pure.

`spec.py` puts them together; what each key does is in docs/flow.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from drop.problems import found
from drop.validation import Expected, Section, Text, TextOrNumber, as_written, wrong

WORKERS_MAX = 1024  # of one pool on one node
TEXT_MAX = 4096  # characters of an argument, a path, a value of the environment
FILTER_BYTES_MAX = 1024  # as for a subscriber of the protocol
HEALTH_BYTES_MAX = 4096  # of a health check's message or answer
HEALTH_MS = 10_000  # between two checks of an idle worker
HEALTH_MS_MIN = 100  # more often, checking would be the worker's main work
DAY_MS = 86_400_000
PATHS_MAX = 64  # exceptions of a read-only file system
PROCESSES_MAX = 1_000_000
PROCESSES = 512  # a build tool or a browser fits; a fork bomb is caught before it hurts
OPEN_FILES_MAX = 1_048_576
OPEN_FILES = 1024  # what programs that use select(2) can stand
MIB_MAX = 1_048_576  # a TiB

POOL_NAME = r"^[A-Za-z0-9_.:/-]{1,128}$"
A_POOL = "a pool's name: 1 to 128 of A-Z a-z 0-9 _ . : - /"
A_NUMBER_OF_WORKERS = (
    f"a whole number from 1 to {WORKERS_MAX}, or {{min: A, max: B}} with 0 <= A <= B and 1 <= B"
)

# The pattern stands before the validator, or the published schema would not show it.
PoolName = Annotated[str, Field(pattern=POOL_NAME), BeforeValidator(as_written), Expected(A_POOL)]


def from_zero(limit: int, what: str) -> str:
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
        Expected(from_zero(WORKERS_MAX, "a whole number")),
    ]
    max: Annotated[
        int,
        Field(ge=1, le=WORKERS_MAX, description="Workers at full load."),
        Expected(f"a whole number from 1 to {WORKERS_MAX}"),
    ]


class OrNumber:
    """Tells the published schema of the short form that `as_workers` takes."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        number = {"type": "integer", "minimum": 1, "maximum": WORKERS_MAX}
        return {"anyOf": [number, handler(schema)]}


def as_workers(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= WORKERS_MAX:
        return {"min": int(value), "max": int(value)}
    if isinstance(value, (dict, Workers)):
        return value
    raise wrong(found(value), A_NUMBER_OF_WORKERS)


def _message(value: object) -> object:
    """One line: a health check goes the way of a message of kind line too."""
    value = as_written(value)
    if isinstance(value, str) and ("\n" in value or len(value.encode()) > HEALTH_BYTES_MAX):
        raise wrong(found(value), f"at most {HEALTH_BYTES_MAX} bytes without a newline")
    return value


class Health(Section):
    """A question that an idle worker is asked from time to time."""

    message: Annotated[
        TextOrNumber,
        BeforeValidator(_message),
        Field(description="What the worker is sent."),
        Expected("text of one line"),
    ]
    expect: Annotated[
        TextOrNumber | None,
        BeforeValidator(_message),
        Field(description="The whole answer that a healthy worker gives; absent: any."),
        Expected("text of one line"),
    ] = None
    every: Annotated[
        int,
        Field(ge=HEALTH_MS_MIN, le=DAY_MS, description="Milliseconds between two checks."),
        Expected(f"milliseconds, a whole number from {HEALTH_MS_MIN} to {DAY_MS}"),
    ] = HEALTH_MS


class Contain(Section):
    """What keeps a worker from harming the rest of the machine; each part can be switched."""

    no_new_privileges: Annotated[
        bool,
        Field(description="No program of the worker gains rights (setuid, capabilities)."),
        Expected("true or false"),
    ] = True
    cgroup: Annotated[
        bool,
        Field(description="A control group of its own: memory, processes, CPU weight, clean end."),
        Expected("true or false"),
    ] = True
    tmp: Annotated[
        Literal["private", "shared"],
        Field(description="private: /tmp and /var/tmp are its own and go with it."),
        Expected("private or shared"),
    ] = "private"
    filesystem: Annotated[
        Literal["full", "read-only"],
        Field(description="read-only: it can write below `write` and in its own /tmp only."),
        Expected("full or read-only"),
    ] = "full"
    write: Annotated[
        tuple[Annotated[Text, Field(min_length=1, max_length=TEXT_MAX)], ...],
        Field(
            strict=False,
            max_length=PATHS_MAX,
            description="Where it may write though the file system is read-only.",
        ),
        Expected(f"a list of at most {PATHS_MAX} paths", item="a path"),
    ] = ()
    network: Annotated[
        Literal["host", "none"],
        Field(description="none: it has a loopback interface of its own and no other."),
        Expected("host or none"),
    ] = "host"


NOT_CONTAINED = Contain(no_new_privileges=False, cgroup=False, tmp="shared")
A_CONTAIN = "a mapping, or off"


def as_contain(value: object) -> object:
    """`off` is short for a mapping that switches each part off."""
    if value is False or value == "off":
        return NOT_CONTAINED
    if isinstance(value, (dict, Contain)):
        return value
    raise wrong(found(value), A_CONTAIN)


class OrOff:
    """Tells the published schema of the short form that `as_contain` takes."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"enum": ["off", False]}, handler(schema)]}


class ProcessLimits(Section):
    """What one worker may use, besides `memory`."""

    processes: Annotated[
        int,
        Field(ge=1, le=PROCESSES_MAX, description="Processes and threads."),
        Expected(f"a whole number from 1 to {PROCESSES_MAX}"),
    ] = PROCESSES
    cpu: Annotated[
        int,
        Field(ge=1, le=10_000, description="Weight when processors are scarce; 100 is normal."),
        Expected("a whole number from 1 to 10000"),
    ] = 100
    open_files: Annotated[
        int,
        Field(ge=16, le=OPEN_FILES_MAX, description="Open files of one process."),
        Expected(f"a whole number from 16 to {OPEN_FILES_MAX}"),
    ] = OPEN_FILES
    file_size: Annotated[
        int | None,
        Field(ge=1, le=MIB_MAX, description="MiB of the largest file that it may write."),
        Expected(f"MiB, a whole number from 1 to {MIB_MAX}"),
    ] = None
    core: Annotated[
        int,
        Field(ge=0, le=MIB_MAX, description="MiB of a core dump."),
        Expected(f"MiB, a whole number from 0 to {MIB_MAX}"),
    ] = 0
