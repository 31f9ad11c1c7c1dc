"""`function.yaml`: what a function is, how it is built, which files belong to it, how it is tested.

The keys that a flow knows too are those of `drop.flow.spec.Function`, checked by that very model,
so that a key means the same in both places. The keys of packages are in `PackageKeys`. A key that
only makes sense where a function is used (`sub`, `user`, ...) is refused here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from drop.document import Document, parse, read
from drop.errors import ConfigurationError
from drop.flow.command import A_COMMAND, arguments_of
from drop.flow.rules import cross_faults
from drop.flow.sections import TEXT_MAX
from drop.flow.spec import Function, Kind, kind_by_name
from drop.packages.names import (
    A_NAME,
    A_VERSION,
    NAME_PATTERN,
    VERSION_CHARACTERS_MAX,
    VERSION_PATTERN,
)
from drop.problems import ConfigurationErrors, Path, Source, found, similar
from drop.validation import Expected, Section, Text, as_written, collect, wrong

FILE_NAME = "function.yaml"

BUILD_STEPS_MAX = 32
PATTERNS_MAX = 256
CASES_MAX = 256
MESSAGES_MAX = 1024  # of one case; more belong into files

#: What the flow decides that uses a function: its surroundings there, not the function.
OF_THE_FLOW = ("sub", "dead_letter", "delivery", "package", "user")
#: Those of a flow's function that function.yaml may have as well.
SHARED_KEYS = tuple(key for key in Function.model_fields if key not in ("name", *OF_THE_FLOW))

_COMMAND_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1},
    ]
}
_MESSAGES_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]
}
_A_PATTERN = "a pattern such as '*.py' or 'data/**'"
_MESSAGES = "a text, or a list of texts (true and false need quotes)"


def _messages(value: object) -> object:
    """One text, or a tuple of them: what a text means depends on the kind."""
    value = as_written(value)
    if isinstance(value, str):
        return (value,), True
    if not isinstance(value, (list, tuple)):
        raise wrong(found(value), _MESSAGES)
    if len(value) > MESSAGES_MAX:
        raise wrong(f"found {len(value)} entries", f"at most {MESSAGES_MAX}; or files in tests/")
    texts = tuple(as_written(each) for each in value)
    for each in texts:
        if not isinstance(each, str):
            raise wrong(f"{found(each)} in the list", "only texts (put it in quotes)")
    return texts, False


Messages = Annotated[
    tuple[tuple[str, ...], bool],
    BeforeValidator(_messages),
    WithJsonSchema(_MESSAGES_SCHEMA),
    Expected(_MESSAGES),
]
"""The texts, and whether they were written as one."""


class Case(Section):
    """A test of the function: what goes in and what has to come out."""

    name: Annotated[
        Text,
        Field(max_length=128, description="What the case is about; shown when it fails."),
        Expected("a text"),
    ] = ""
    input: Annotated[
        Messages,
        Field(
            description="The messages. A text: one message of an exec function, else a message "
            "for each line. A list: a message for each entry. A stream has none.",
        ),
    ] = ((), False)
    output: Annotated[
        Messages,
        Field(description="The answers, one for each message, or a stream's events."),
    ]


class Files(Section):
    """Which files of the directory are packed."""

    include: Annotated[
        tuple[Annotated[Text, Field(min_length=1, max_length=TEXT_MAX)], ...],
        Field(
            strict=False,
            max_length=PATTERNS_MAX,
            description="Only what matches one of these; absent: everything but hidden files "
            "and what builds leave behind.",
        ),
        Expected("a list of patterns", item=_A_PATTERN),
    ] = ()
    exclude: Annotated[
        tuple[Annotated[Text, Field(min_length=1, max_length=TEXT_MAX)], ...],
        Field(strict=False, max_length=PATTERNS_MAX, description="Nothing that matches one."),
        Expected("a list of patterns", item=_A_PATTERN),
    ] = ()


class PackageKeys(Section):
    """The keys of function.yaml that a flow does not know."""

    name: Annotated[
        str,
        Field(pattern=NAME_PATTERN, description="The package's name."),
        BeforeValidator(as_written),
        Expected(A_NAME),
    ]
    version: Annotated[
        str,
        Field(
            pattern=VERSION_PATTERN,
            max_length=VERSION_CHARACTERS_MAX,
            description="The package's version; installed versions lie side by side.",
        ),
        BeforeValidator(as_written),
        Expected(A_VERSION),
    ]
    description: Annotated[
        Text,
        Field(max_length=1024, description="What the function does, in a sentence."),
        Expected("a text"),
    ] = ""
    build: Annotated[
        tuple[
            Annotated[
                tuple[str, ...], BeforeValidator(arguments_of), WithJsonSchema(_COMMAND_SCHEMA)
            ],
            ...,
        ],
        Field(
            strict=False,
            max_length=BUILD_STEPS_MAX,
            description="Commands that make what is packed, one after the other, without a shell.",
        ),
        Expected(f"a list of at most {BUILD_STEPS_MAX} commands", item=A_COMMAND),
    ] = ()
    files: Annotated[Files, Field(description="Which files are packed."), Expected("a mapping")] = (
        Files()
    )
    cases: Annotated[
        tuple[Case, ...],
        Field(strict=False, max_length=CASES_MAX, description="What `drop fun test` checks."),
        Expected(f"a list of at most {CASES_MAX} cases", item="a mapping with at least output"),
    ] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A function.yaml that has been checked."""

    keys: PackageKeys
    function: Function
    source: Source

    @property
    def name(self) -> str:
        return self.keys.name

    @property
    def version(self) -> str:
        return self.keys.version

    @property
    def kind(self) -> Kind:
        """Fixed here: the name of a pool that uses the package must not change it."""
        return self.function.effective_kind

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def load_manifest(directory: str | os.PathLike[str]) -> Manifest:
    """The function in a directory; raises ConfigurationError, with every fault of the file."""
    file = os.path.join(directory, FILE_NAME)
    if os.path.isdir(directory) and not os.path.lexists(file):
        raise ConfigurationError(
            "there is no such file, so the directory holds no function",
            file=file,
            expected=f"a {FILE_NAME}; `drop fun init NAME` makes one",
        )
    return check_manifest(read(file))


def parse_manifest(data: bytes, file: str) -> Manifest:
    """The same for a text that is not in a file; `file` names it."""
    return check_manifest(parse(data, file))


def check_manifest(document: Document) -> Manifest:
    """Raises ConfigurationErrors."""
    source = document.source
    value = document.value
    if not isinstance(value, Mapping):
        raise source.error((), found(value), "a mapping with at least name, version and cmd")
    own = {key: each for key, each in value.items() if key in PackageKeys.model_fields}
    shared = {key: each for key, each in value.items() if key in SHARED_KEYS}
    keys, errors = collect(PackageKeys, own, source)
    # The name has been checked by the stricter rule; the model of a flow's function wants one too.
    function, more = collect(Function, {**shared, "name": _usable_name(keys, own)}, source)
    errors += [each for each in more if each not in source.faults]
    errors += _unknown(value, source)
    reported = {error.key for error in errors}
    for path, message, expected in (*_cross_faults(value), *_own_faults(value)):
        error = source.error(path, message, expected)
        if error.key not in reported:
            errors.append(error)
    if errors or keys is None or function is None:
        raise ConfigurationErrors(errors)
    return Manifest(keys, function, source)


def _usable_name(keys: PackageKeys | None, own: Mapping[str, object]) -> str:
    return keys.name if keys else "function"


def _unknown(value: Mapping[str, object], source: Source) -> Iterator[ConfigurationError]:
    known = [*PackageKeys.model_fields, *SHARED_KEYS]
    for key in value:
        if key in OF_THE_FLOW:
            message = "is said where the function is used, in the flow"
            yield source.error((key,), message, "no such key here", at_key=True)
        elif key not in known and not key.startswith("x-"):
            hint = similar(key, known)
            expected = "" if hint else "one of " + ", ".join(known)
            yield source.error((key,), f"unknown key{hint}", expected, at_key=True)


_Fault = tuple[Path, str, str]


def _cross_faults(value: Mapping[str, object]) -> Iterator[_Fault]:
    """The rules between keys that flows have."""
    for fault in cross_faults({"func": [dict(value)]}):
        yield fault.path[2:], fault.message, fault.expected


def _own_faults(value: Mapping[str, object]) -> Iterator[_Fault]:
    cwd = value.get("cwd")
    if isinstance(cwd, str) and ".." in PurePosixPath(cwd).parts:
        yield ("cwd",), "leads out of the package", "a directory of the package"
    kind = value.get("kind") or kind_by_name(str(value.get("name")))
    cases = value.get("cases")
    for index, case in enumerate(cases if isinstance(cases, list) else ()):
        if isinstance(case, Mapping) and isinstance(case.get("input"), (str, list)):
            yield from _case_faults(("cases", index), case, kind)


def _case_faults(path: Path, case: Mapping[str, object], kind: object) -> Iterator[_Fault]:
    if kind == "stream":
        yield (*path, "input"), "a function of kind stream takes no messages", "no such key"
        return
    counts = [_count(case.get(key), kind) for key in ("input", "output")]
    if counts[0] != counts[1] and -1 not in counts:
        message = f"found {counts[1]} answers to {counts[0]} messages"
        yield (*path, "output"), message, "an answer for each message"


def _count(value: object, kind: object) -> int:
    """How many messages this is; -1: it is something else."""
    value = as_written(value)
    if isinstance(value, str):
        return 1 if kind == "exec" else len(lines_of(value))
    return len(value) if isinstance(value, list) else -1


def lines_of(text: str) -> list[str]:
    """The lines of a text; the last one needs no newline."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def case_messages(messages: tuple[tuple[str, ...], bool], kind: Kind) -> list[bytes]:
    """What a case's `input` or `output` is as messages of the kind."""
    texts, whole = messages
    if whole and kind != "exec":
        texts = tuple(lines_of(texts[0]))
    return [each.encode() for each in texts]
