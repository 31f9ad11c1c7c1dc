"""The `cmd` of a function, as arguments. Pure.

The original gave a command to a shell. Here no shell runs, so that no message and no file name can
ever be taken for code; what only a shell understands is therefore an error and not an argument.
"""

from __future__ import annotations

import re
import shlex

from drop.problems import found
from drop.validation import as_written, wrong

ARGUMENTS_MAX = 256
A_COMMAND = "a command, as a text or as a list of texts"

_OPERATOR = re.compile(r"(?:\|\|?|&&?|;|\d*(?:>>?|<<?).*|&>.*)\Z")
_EXPANSION = re.compile(r"(?!').*(?:\$[A-Za-z_{(]|`)|~(?:/|\Z)")


def arguments_of(value: object) -> object:
    """A text is split like a shell would, without a shell; a list is taken as it is."""
    value = as_written(value)
    if isinstance(value, str):
        value = _split(value)
    if not isinstance(value, (list, tuple)):
        raise wrong(found(value), A_COMMAND)
    arguments = tuple(as_written(each) for each in value)
    if not arguments or not arguments[0]:
        raise wrong("found an empty command", A_COMMAND)
    if len(arguments) > ARGUMENTS_MAX:
        raise wrong(f"found {len(arguments)} arguments", f"at most {ARGUMENTS_MAX}")
    for each in arguments:
        if not isinstance(each, str):
            raise wrong(f"{found(each)} as an argument", "only texts (put it in quotes)")
        if "\0" in each:
            raise wrong("found a NUL character", "text without NUL")
    return arguments


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise wrong(f"{found(command)}: {error}", "balanced quotes") from error
    try:
        bare = shlex.split(command, posix=False)  # keeps the quotes: 'a|b' is no operator
    except ValueError:
        return arguments
    for word in bare:
        if _OPERATOR.match(word) or _EXPANSION.match(word):
            raise wrong(
                f"found {word!r}, which only a shell understands, and no shell runs",
                f"it in single quotes if the program shall get it as it is, or "
                f"[sh, -c, {command!r}]",
            )
    return arguments
