"""How faults in files that people write are reported: with their place, and all of them at once.

Pure values: a `Source` knows where each key of a document stands, `ConfigurationErrors` carries
every fault of one reading. Reading files is `drop.document`, checking values `drop.validation`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drop.errors import ConfigurationError

Path = tuple[str | int, ...]
"""The way to a value inside a document: ("func", 0, "cmd")."""

FOUND_TEXT_MAX = 60  # characters of a wrong value that a message repeats
SHOWN_MAX = 100  # faults that are printed; a file that has more is not a file of this kind


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where the keys and values of one document stand in its file.

    `faults` are those of the text itself that left values to go on with, so that they are reported
    together with what is wrong with the values.
    """

    file: str
    keys: Mapping[Path, Mark]
    values: Mapping[Path, Mark]
    faults: tuple[ConfigurationError, ...] = ()

    def mark(self, path: Path, *, at_key: bool = False) -> Mark:
        """The place of a value (or of its key); the nearest enclosing one if it has none."""
        if at_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Mark(1, 1)

    def place(self, path: Path) -> str:
        """FILE:LINE, to point at a second place from inside a message."""
        return f"{self.file}:{self.mark(path).line}"

    def error(
        self, path: Path, message: str, expected: str = "", *, at_key: bool = False
    ) -> ConfigurationError:
        mark = self.mark(path, at_key=at_key)
        return ConfigurationError(
            message,
            file=self.file,
            line=mark.line,
            column=mark.column,
            key=show_path(path),
            expected=expected,
        )


class ConfigurationErrors(ConfigurationError):
    """Every fault that was found, in the order of the text; its own fields are the first one's.

    A `ConfigurationError`, so that who handles one handles many; `str()` has a line for each of
    the first `SHOWN_MAX`.
    """

    def __init__(self, errors: Iterable[ConfigurationError]) -> None:
        self.errors = tuple(sorted(errors, key=_place))
        first = self.errors[0]
        super().__init__(
            first.message,
            file=first.file,
            line=first.line,
            column=first.column,
            key=first.key,
            expected=first.expected,
        )

    def __str__(self) -> str:
        lines = [str(error) for error in self.errors[:SHOWN_MAX]]
        more = len(self.errors) - len(lines)
        return "\n".join([*lines, f"{self.file}: {more} more faults"] if more else lines)


def _place(error: ConfigurationError) -> tuple[str, int, int]:
    return error.file, error.line or 0, error.column or 0


def show_path(path: Path) -> str:
    """The path as people write it: func[0].sub[1].type"""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def found(value: object) -> str:
    """What a wrong value is, in words; long ones are cut."""
    match value:
        case None:
            return "found nothing"
        case bool():
            return f"found {str(value).lower()}"
        case int() | float():
            return f"found the number {str(getattr(value, 'written', value))[:FOUND_TEXT_MAX]}"
        case str():
            cut = value if len(value) <= FOUND_TEXT_MAX else value[:FOUND_TEXT_MAX] + "..."
            return f"found the text {cut!r}"
        case list() | tuple():
            return "found a list" if value else "found an empty list"
        case Mapping():
            return "found a mapping" if value else "found an empty mapping"
    return f"found a {type(value).__name__}"


def similar(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a name is close to one that exists, else nothing."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
