"""The short way in: well-formed command lines run without importing typer, which takes 50 ms.

`drop call` in a shell loop is over in less time than that. What is not exactly a known command with
its own options and values (help, a mistake, a short flag) is left to `commands`, which says more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from drop.cli.forms import ALIASES, COMMANDS, Form

#: By annotation of the parameter. A bool is a flag without value.
CONVERTERS: dict[str, Callable[[str], object]] = {
    "str": str,
    "str | None": str,
    "int": int,
    "int | None": int,
    "float": float,
    "float | None": float,
    "Path | None": Path,
}


def parse(arguments: list[str]) -> Callable[[], int] | None:
    """What to run, or None when this is not a plain command line."""
    found = _form_of(arguments)
    if found is None:
        return None
    form, rest = found
    function = form.load()
    values = read(rest, form.positionals, function.__annotations__)
    defaults = function.__kwdefaults__ or {}
    if values is None or any(name not in values | defaults for name in form.positionals):
        return None
    return lambda: function(**values)


def _form_of(arguments: list[str]) -> tuple[Form, list[str]] | None:
    """The command that the first words name, and the words behind it."""
    for length in (1, 2):
        name = " ".join(arguments[:length])
        if form := COMMANDS.get(ALIASES.get(name, name)):
            return form, arguments[length:]
    return None


def read(
    words: list[str], positionals: tuple[str, ...], annotations: dict[str, str]
) -> dict[str, Any] | None:
    """The parameters that the words give, or None when a word is not understood."""
    left, values = iter(words), dict[str, Any]()
    unused, flags_ended = list(positionals), False
    for word in left:
        if word == "--" and not flags_ended:
            flags_ended = True
        elif flags_ended or word == "-" or not word.startswith("-"):
            if not unused:
                return None
            values[unused.pop(0)] = word
        else:
            flag, equals, text = word.partition("=")
            name = flag[2:].replace("-", "_")
            if not flag.startswith("--") or "_" in flag or name in positionals:
                return None
            if annotations.get(name) == "bool":
                value: object = None if equals else True
            else:
                value = _convert(annotations.get(name), text if equals else next(left, None))
            if value is None:
                return None
            values[name] = value
    return values


def _convert(annotation: str | None, text: str | None) -> object:
    """The value; None when there is no such option, no value, or one of another type."""
    converter = CONVERTERS.get(annotation or "")
    if converter is None or text is None:
        return None
    try:
        return converter(text)
    except ValueError:
        return None
