"""Checking the values of a document against pydantic models, with errors made for people.

Models of files derive from `Section`; each field says in words what it takes (`Expected`), and
that is what an error prints, whatever pydantic found. No unions: a union's errors name branches
that no user has ever heard of; a validator that brings every form into one is used instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from drop.errors import ConfigurationError
from drop.problems import Path, Source, found, show_path, similar

SectionT = TypeVar("SectionT", bound="Section")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a field takes, in words that follow "expected".

    `item` says the same for an item of a list or a value of a free mapping, `name` for its keys.
    """

    text: str
    item: str = "text"
    name: str = "text"


class Section(BaseModel):
    """A mapping in a file: no unknown keys but `x-...`, no conversions, no changes afterwards."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        json_schema_extra={"patternProperties": {"^x-": {}}},
    )

    @model_validator(mode="before")
    @classmethod
    def _without_extensions(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: each for key, each in value.items() if not str(key).startswith("x-")}


def as_written(value: object) -> object:
    """A number that stands where text belongs is the text that was written."""
    written = getattr(value, "written", None)
    return written if isinstance(written, str) else value


Text = Annotated[str, BeforeValidator(as_written)]
TextOrNumber = Annotated[Text, WithJsonSchema({"type": ["string", "number"]})]
"""The same value as `Text`; the published schema says that quotes are not needed for numbers."""


def wrong(message: str, expected: str) -> PydanticCustomError:
    """What a field's validator raises when it knows better words than its field's `Expected`."""
    context = {"message": message, "expected": expected}
    return PydanticCustomError("configuration", "{message}", context)


def collect(
    model: type[SectionT], value: object, source: Source
) -> tuple[SectionT | None, list[ConfigurationError]]:
    """The checked model (None if it is wrong), and every fault of the values and of their text."""
    try:
        return model.model_validate(value), [*source.faults]
    except ValidationError as error:
        details = [each for each in error.errors(include_url=False) if not _echo(each)]
        return None, [*source.faults, *(_translate(model, source, each) for each in details)]


def _echo(error: ErrorDetails) -> bool:
    """A list counted as too short because its items are wrong; those have their own errors."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _translate(model: type[Section], source: Source, error: ErrorDetails) -> ConfigurationError:
    path: Path = error["loc"]
    if path and path[-1] == "[key]":  # a key of a free mapping, such as `env`
        path = path[:-1]
        words = _words(model, path)
        message = f"the name {path[-1]!r} is not allowed"
        return source.error(path, message, words.name if words else "", at_key=True)
    translate = _BY_TYPE.get(error["type"], _translate_value)
    return translate(model, source, path, error)


def _translate_unknown(
    model: type[Section], source: Source, path: Path, error: ErrorDetails
) -> ConfigurationError:
    section, _ = _walk(model, path[:-1])
    names = list(section.model_fields) if section else []
    hint = similar(str(path[-1]), names)
    expected = "" if hint else "one of " + ", ".join(names)
    return source.error(path, f"unknown key{hint}", expected, at_key=True)


def _translate_missing(
    model: type[Section], source: Source, path: Path, error: ErrorDetails
) -> ConfigurationError:
    place = source.error(path[:-1], f"the key {path[-1]!r} is missing", _expected(model, path))
    place.key = show_path(path)
    return place


def _translate_section(
    model: type[Section], source: Source, path: Path, error: ErrorDetails
) -> ConfigurationError:
    section, _ = _walk(model, path)
    names = [n for n, f in section.model_fields.items() if f.is_required()] if section else []
    expected = "a mapping" + (f" with at least {' and '.join(names)}" if names else "")
    return source.error(path, found(error["input"]), expected)


def _translate_custom(
    model: type[Section], source: Source, path: Path, error: ErrorDetails
) -> ConfigurationError:
    return source.error(path, error["ctx"]["message"], error["ctx"]["expected"])


def _translate_length(
    model: type[Section], source: Source, path: Path, error: ErrorDetails
) -> ConfigurationError:
    count, is_text = len(error["input"]), isinstance(error["input"], str)
    message = f"found {count} {'characters' if is_text else 'entries'}"
    limit = error["ctx"].get("max_length")
    expected = f"at most {limit}" if is_text and limit else _expected(model, path)
    return source.error(path, message, expected)


def _translate_value(
    model: type[Section], source: Source, path: Path, error: ErrorDetails
) -> ConfigurationError:
    return source.error(path, found(error["input"]), _expected(model, path))


_Translate = Callable[[type[Section], Source, Path, ErrorDetails], ConfigurationError]
_BY_TYPE: Mapping[str, _Translate] = {
    "extra_forbidden": _translate_unknown,
    "missing": _translate_missing,
    "model_type": _translate_section,
    "configuration": _translate_custom,
    "string_too_long": _translate_length,
    "too_long": _translate_length,
    "too_short": _translate_length,
}


def _expected(model: type[Section], path: Path) -> str:
    words = _words(model, path)
    inside = _walk(model, path[:-1])[1] is _walk(model, path)[1]
    return (words.item if inside else words.text) if words else ""


def _words(model: type[Section], path: Path) -> Expected | None:
    _, field = _walk(model, path)
    metadata = field.metadata if field else ()
    return next((each for each in metadata if isinstance(each, Expected)), None)


def _walk(model: type[Section], path: Path) -> tuple[type[Section] | None, FieldInfo | None]:
    """The section that a path ends in or at, and the last field on the way.

    A step into a list, or by a free name into a mapping, stays with the field it starts from.
    """
    section: type[Section] | None = model
    field: FieldInfo | None = None
    for step in path:
        if isinstance(step, str) and section is not None:
            field = section.model_fields.get(step)
            section = _section_in(field.annotation) if field else None
    return section, field


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for each in get_args(annotation):
        if inner := _section_in(each):
            return inner
    return None
