"""Reads the text of an `env_file`: NAME=VALUE lines, as systemd and docker take them. Pure.

    # a comment, as is a line that begins with ;
    NAME=a value, up to the end of the line, without the blanks around it
    NAME='taken as it is: \\ " $ # and more lines'
    NAME="the same, but for \\\\ \\" \\$ \\` and a backslash that joins two lines"

Nothing is interpolated: a $ is a $. Where systemd and docker read a line differently (a backslash
without quotes, text behind a closing quote) it is refused instead of guessed at. The texts of
errors never repeat what stands in the file: it may well be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from drop.errors import ConfigurationError
from drop.problems import ConfigurationErrors

FILE_BYTES_MAX = 262_144
VALUE_BYTES_MAX = 65_536  # the kernel takes 128 KiB for a variable with its name
VARIABLES_MAX = 1024  # of one file

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_RESERVED = re.compile(r"DROP_|CREDENTIALS_DIRECTORY\Z")
_ESCAPES = {"\\": "\\", '"': '"', "$": "$", "`": "`", "\n": ""}
_A_LINE = "NAME=VALUE, a comment (#) or an empty line"
_A_NAME = "1 to 128 of A-Z a-z 0-9 _, with no digit first"


class _Fault(Exception):
    def __init__(
        self, line: int, message: str, expected: str, name: str = "", *, last: bool = False
    ) -> None:
        """`last`: what stands behind it has no certain meaning, and is not looked at."""
        super().__init__(message)
        self.line = line
        self.message = message
        self.expected = expected
        self.name = name
        self.last = last


def parse(data: bytes, file: str) -> dict[str, str]:
    """The variables in the order of the file. Raises ConfigurationErrors: all that is wrong."""
    try:
        lines = _lines(data)
    except _Fault as fault:
        raise ConfigurationErrors([_error(fault, file)]) from None
    variables: dict[str, str] = {}
    places: dict[str, int] = {}
    faults: list[_Fault] = []
    number = 0
    while number < len(lines):
        first = number + 1
        try:
            name, value, number = _assignment(lines, number)
            if name:
                _check(name, value, first, places)
                variables[name], places[name] = value, first
        except _Fault as fault:
            faults.append(fault)
            number = len(lines) if fault.last else max(number, fault.line)
    if len(variables) > VARIABLES_MAX:
        faults.append(_Fault(1, f"{len(variables)} variables", f"at most {VARIABLES_MAX}"))
    if faults:
        raise ConfigurationErrors(_error(fault, file) for fault in faults)
    return variables


def _lines(data: bytes) -> list[str]:
    """Lines without their ends, which may be those of Windows."""
    if len(data) > FILE_BYTES_MAX:
        raise _Fault(1, "the file is too large", f"at most {FILE_BYTES_MAX} bytes")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise _Fault(line, "there is a NUL byte", "plain text in UTF-8")
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Fault(line, "there are bytes that are not UTF-8", "plain text in UTF-8") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _assignment(lines: list[str], index: int) -> tuple[str, str, int]:
    """The name ("": none on this line), the value, and the index of the line behind it."""
    text = lines[index].strip(" \t")
    if not text or text[0] in "#;":
        return "", "", index + 1
    name, equals, rest = text.partition("=")
    line = index + 1
    if not equals:
        raise _Fault(line, "the line has no =", _A_LINE)
    if name.startswith("export "):
        raise _Fault(line, "the line begins with export", "NAME=VALUE without it")
    if not _NAME.match(name):
        raise _Fault(line, "what stands before the = is no name", _A_NAME)
    rest = rest.lstrip(" \t")
    if rest[:1] in ("'", '"'):
        value, after = _quoted(lines, index, rest, name)
        return name, value, after
    if "\\" in rest:
        raise _Fault(line, "a backslash without quotes", "the value in single quotes", name)
    return name, rest, index + 1


def _quoted(lines: list[str], index: int, rest: str, name: str) -> tuple[str, int]:
    """The value that begins with a quote in `rest`, over as many lines as it takes."""
    quote, begin = rest[0], index
    characters, value = _characters(lines, index, rest[1:]), []
    for index, character in characters:
        if character == quote:
            break
        if character == "\\" and quote == '"':
            index, character = next(characters, (index, ""))
            if character not in _ESCAPES:
                message = "a backslash before something that needs none"
                expected = "in double quotes \\\\ for a backslash, or the value in single quotes"
                raise _Fault(index + 1, message, expected, name, last=True)
            character = _ESCAPES[character]
        value.append(character)
    else:
        message = "the quote is not closed"
        raise _Fault(begin + 1, message, f"a {quote} at the end", name, last=True)
    end = "".join(_rest_of_line(characters, index))
    if end.strip(" \t"):
        raise _Fault(index + 1, "there is text behind the closing quote", "nothing there", name)
    return "".join(value), index + 1


def _characters(lines: list[str], index: int, rest: str) -> Iterator[tuple[int, str]]:
    """The characters of `rest` and of the lines below it, each with the index of its line."""
    last = len(lines) - 1
    while True:
        yield from ((index, character) for character in rest)
        if index == last:
            return
        yield index, "\n"
        index += 1
        rest = lines[index]


def _rest_of_line(characters: Iterator[tuple[int, str]], index: int) -> Iterator[str]:
    for _, character in characters:
        if character == "\n":
            return
        yield character


def _check(name: str, value: str, line: int, places: dict[str, int]) -> None:
    if _RESERVED.match(name):
        message = "names that start with DROP_, and CREDENTIALS_DIRECTORY, are set by the node"
        raise _Fault(line, message, "another name", name)
    if name in places:
        message = f"line {places[name]} has this name already"
        raise _Fault(line, message, "each name once", name)
    if len(value.encode()) > VALUE_BYTES_MAX:
        raise _Fault(line, "the value is too large", f"at most {VALUE_BYTES_MAX} bytes", name)


def _error(fault: _Fault, file: str) -> ConfigurationError:
    return ConfigurationError(
        fault.message, file=file, line=fault.line, key=fault.name, expected=fault.expected
    )
