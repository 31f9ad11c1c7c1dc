"""Reading a YAML file that a person wrote: plain values, and where each of them stands.

PyYAML's parser gives events with marks; this file builds the values from them, because its
constructors cannot do what a configuration needs: refuse duplicate keys, bound what aliases expand
to, and keep places. Scalars are those of YAML 1.2: `no` is a text, only `true` and `false` are
booleans, there are no dates and no sexagesimal numbers. Numbers remember how they were written.

Whatever the file holds, the result is a `Document` or a `ConfigurationError`, in bounded time and
memory. What the values mean is not decided here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from drop.errors import ConfigurationError
from drop.problems import Mark, Path, Source

FILE_BYTES_MAX = 1 << 20  # ten times a flow of 1 000 functions
NODES_MAX = 100_000  # values, aliases expanded; 4 096 functions of 20 values fit
DEPTH_MAX = 32  # levels of nesting; a flow file needs 5
DIGITS_MAX = 30  # a longer number is no number that any key takes

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, 15 times faster
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")


class Integer(int):
    """A whole number that knows its text, for keys that take text: 007 stays "007"."""

    written: str


class Float(float):
    """A number that knows its text: 1.10 stays "1.10"."""

    written: str


@dataclass(frozen=True, slots=True)
class Document:
    """The plain values of a file (dict, list, str, Integer, Float, bool, None) and their places."""

    value: object
    source: Source


@dataclass(slots=True)
class _Node:
    """A value before aliases are expanded; `size` and `height` are those of the expanded tree."""

    mark: Mark
    scalar: object = None
    items: list[_Node] | None = None
    pairs: list[tuple[str, Mark, _Node]] | None = None
    size: int = 1
    height: int = 1


def read(file: str | os.PathLike[str]) -> Document:
    """Read and parse a file; raises ConfigurationError if there is nothing to go on with."""
    name = os.fspath(file)
    return parse(_read_bytes(name), name)


def _read_bytes(file: str) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang the node.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError("is not a file", file=file, expected="a YAML file")
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}", file=file, expected="a readable YAML file"
        ) from error
    except ValueError as error:  # a NUL inside the name
        raise ConfigurationError(f"cannot be read: {error}", file=repr(file)) from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(
            "is too large", file=file, expected=f"at most {FILE_BYTES_MAX} bytes"
        )
    return data


def parse(data: bytes, file: str) -> Document:
    """Parse the bytes of a file; `file` is only the name for messages.

    Keys that stand twice do not stop it: the first one counts, and the source has the faults.
    """
    text = _decode(data, file)
    builder = _Builder(file, text)
    try:
        root = builder.document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, file, text) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"not valid YAML: {error}", file=file) from error
    keys: dict[Path, Mark] = {}
    values: dict[Path, Mark] = {}
    value = _expand(root, (), keys, values)
    return Document(value, Source(file, keys, values, tuple(builder.errors)))


def _decode(data: bytes, file: str) -> str:
    def fail(line: int, column: int, message: str) -> NoReturn:
        raise ConfigurationError(
            message, file=file, line=line, column=column, expected="plain text in UTF-8"
        )

    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode())
        fail(line, column, f"the byte 0x{data[error.start]:02x} is not UTF-8")
    if wrong := _NOT_TEXT.search(text):
        line, column = _position(text[: wrong.start()])
        fail(line, column, f"the control character U+{ord(wrong.group()):04X}")
    return text


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _syntax_error(error: yaml.MarkedYAMLError, file: str, text: str) -> ConfigurationError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if "nesting depth" in (error.problem or ""):  # PyYAML from 6.0.4 on, which looks ahead of us
        expected = f"at most {DEPTH_MAX} levels"
        return ConfigurationError(
            "nested too deeply", file=file, line=line, column=column, expected=expected
        )
    message = f"not valid YAML: {error.problem or error.context}"
    if error.problem and error.context and error.context_mark:
        message += f", {error.context} that starts in line {error.context_mark.line + 1}"
    lines = text.split("\n")
    nearby = lines[max(line - 2, 0) : line]
    tab = any("\t" in each[: len(each) - len(each.lstrip())] for each in nearby)
    return ConfigurationError(
        message,
        file=file,
        line=line,
        column=column,
        expected="spaces: YAML does not allow tabs for indentation" if tab else "",
    )


@dataclass
class _Builder:
    """Events in, one tree of nodes out, with the bounds checked before anything is expanded."""

    file: str
    text: str
    errors: list[ConfigurationError] = field(default_factory=list)
    anchors: dict[str, _Node | None] = field(default_factory=dict)  # None: still open
    nodes: int = 0

    def document(self) -> _Node:
        events: Iterator[yaml.Event] = iter(yaml.parse(self.text, Loader=_LOADER))
        root = _Node(Mark(1, 1))
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fail(event, "a second document", "one document for each file")
                root = self.node(next(events), events, 1)
        return root

    def fail(self, event: yaml.Event, message: str, expected: str = "") -> NoReturn:
        raise self.error(_mark(event), message, expected)

    def error(self, mark: Mark, message: str, expected: str = "") -> ConfigurationError:
        return ConfigurationError(
            message, file=self.file, line=mark.line, column=mark.column, expected=expected
        )

    def node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        if depth > DEPTH_MAX:
            self.fail(event, "nested too deeply", f"at most {DEPTH_MAX} levels")
        self.count(event, 1)
        node = _Node(_mark(event))
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self.anchors[anchor] = None
        self.refuse_tag(event)
        if isinstance(event, yaml.SequenceStartEvent):
            self.sequence(node, events, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            self.mapping(node, events, depth)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            node.scalar = _scalar(event)
        if anchor is not None:
            self.anchors[anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent, depth: int) -> _Node:
        name = str(event.anchor)
        target = self.anchors.get(name)
        if target is None:
            inside = name in self.anchors
            message = f"the alias *{name} " + ("contains itself" if inside else "has no anchor")
            self.fail(event, message, "" if inside else f"an anchor &{name} before it")
        if depth + target.height - 1 > DEPTH_MAX:
            self.fail(event, "nested too deeply", f"at most {DEPTH_MAX} levels")
        self.count(event, target.size)
        return target

    def count(self, event: yaml.Event, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > NODES_MAX:
            self.fail(event, "too many values", f"at most {NODES_MAX}, aliases expanded")

    def refuse_tag(self, event: yaml.Event) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self.fail(event, f"the tag {shown} is not known", "values without tags")

    def sequence(self, node: _Node, events: Iterator[yaml.Event], depth: int) -> None:
        node.items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            _adopt(node, child := self.node(event, events, depth + 1))
            node.items.append(child)

    def mapping(self, node: _Node, events: Iterator[yaml.Event], depth: int) -> None:
        own: list[tuple[str, Mark, _Node]] = []
        merged: list[tuple[str, Mark, _Node]] = []
        lines: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key, mark = self.key(event), _mark(event)
            child = self.node(next(events), events, depth + 1)
            _adopt(node, child)
            if key == "<<":
                merged += self.merge(child, mark)
            elif key in lines:
                message = f"the key {key!r} is there already, in line {lines[key]}"
                self.errors.append(self.error(mark, message, "each key once"))
            else:
                lines[key] = mark.line
                own.append((key, mark, child))
        taken = set(lines)
        for pair in merged:  # a mapping's own keys win, then the first that brings a key
            if pair[0] not in taken:
                taken.add(pair[0])
                own.append(pair)
        node.pairs = own

    def key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self.fail(event, "a key that is not a text", "key: value")
        self.refuse_tag(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Node(_mark(event), scalar=event.value)
        return str(event.value)

    def merge(self, node: _Node, mark: Mark) -> list[tuple[str, Mark, _Node]]:
        sources = [node] if node.items is None else node.items
        pairs: list[tuple[str, Mark, _Node]] = []
        for each in sources:
            if each.pairs is None:
                raise self.error(mark, "<< merges something that is not a mapping", "<<: *NAME")
            pairs += each.pairs
        return pairs


def _adopt(parent: _Node, child: _Node) -> None:
    parent.size += child.size
    parent.height = max(parent.height, child.height + 1)


def _mark(event: yaml.Event) -> Mark:
    assert event.start_mark is not None  # the parser gives every event its marks
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: yaml.ScalarEvent) -> object:
    text = str(event.value)
    if not event.implicit[0] or event.tag is not None:  # quoted, a block, or tagged as a text
        return text
    return plain_scalar(text)


def plain_scalar(text: str) -> object:
    """What a text without quotes means (YAML 1.2, core schema)."""
    if _NULL.match(text):
        return None
    if _BOOLEAN.match(text):
        return text.lower() == "true"
    if len(text) > DIGITS_MAX:
        return text
    number: Integer | Float
    if _INTEGER.match(text):
        number = Integer(text)
    elif _BASED.match(text):
        number = Integer(text, 0)
    elif _FLOAT.match(text):
        number = Float(text)
    else:
        return text
    number.written = text
    return number


def _expand(node: _Node, path: Path, keys: dict[Path, Mark], values: dict[Path, Mark]) -> object:
    values[path] = node.mark
    if node.items is not None:
        return [_expand(each, (*path, i), keys, values) for i, each in enumerate(node.items)]
    if node.pairs is None:
        return node.scalar
    result: dict[str, object] = {}
    for key, mark, child in node.pairs:
        keys[*path, key] = mark
        result[key] = _expand(child, (*path, key), keys, values)
    return result
