"""The text of `image:`: options of `podman run` in front of the image's name. Pure.

    --network host -v /data:/data:ro validator:0.1.0

The original put this text into a command for a shell. Here no shell runs: the words are split as a
shell does it, every option is known, the name is checked, and nothing may follow it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from drop.images.faults import ReferenceFault
from drop.images.run_options import ALIASES, FLAGS, REFUSED, SHORT, TAKES_VALUE

TEXT_MAX = 4096  # characters of all of it, the same as for other texts of a flow
OPTIONS_MAX = 64
NAME_MAX = 512  # characters: a repository has at most 255, a tag 128, a digest 71

A_REFERENCE = "[options of `podman run`] NAME[:TAG], such as --network host validator:0.1.0"

# The grammar of distribution/reference, without capital letters in the path as there.
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,128})?\Z"
)
_TRUE, _FALSE = {"1", "t", "true", "True", "TRUE"}, {"0", "f", "false", "False", "FALSE"}
_NEEDED = {"rm", "interactive"}  # are always given: without them it is no worker


@dataclass(frozen=True, slots=True)
class Option:
    """One option by its long name without dashes; the value of a flag is "true" or "false"."""

    name: str
    value: str

    @property
    def argument(self) -> str:
        """As podman and docker take it, in one word."""
        return f"--{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name, and the options for every container of it, in their order."""

    name: str
    options: tuple[Option, ...] = ()


def parse(text: str) -> Reference:
    """Raises ReferenceFault."""
    words = _words(text)
    options: list[Option] = []
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "--":
        for option, used in _options(words, position):
            position += used
            options += [option] if option is not None else []
    if position < len(words) and words[position] == "--":
        position += 1
    if len(options) > OPTIONS_MAX:
        raise ReferenceFault(f"found {len(options)} options", f"at most {OPTIONS_MAX}")
    return Reference(_name(words[position:]), tuple(options))


def _words(text: str) -> list[str]:
    if len(text) > TEXT_MAX:
        raise ReferenceFault(f"found {len(text)} characters", f"at most {TEXT_MAX}")
    if any(not each.isprintable() and each not in "\t\n" for each in text):
        raise ReferenceFault("found a control character", "printable text")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ReferenceFault(f"found the text {text!r}: {error}", "balanced quotes") from None


def _name(words: list[str]) -> str:
    if not words:
        raise ReferenceFault("found no image's name", A_REFERENCE)
    name, *rest = words
    if rest:
        hint = "the option in front of the name" if rest[0].startswith("-") else "cmd"
        raise ReferenceFault(f"found {rest[0]!r} behind the image's name {name!r}", hint)
    if len(name) > NAME_MAX or not _NAME.match(name):
        raise ReferenceFault(f"found the image's name {name[:80]!r}", "[HOST/]NAME[:TAG][@DIGEST]")
    return name


def _options(words: list[str], position: int) -> Iterator[tuple[Option | None, int]]:
    """The options of one word, each with the number of words it uses up (0 within a group)."""
    word = words[position]
    following = words[position + 1] if position + 1 < len(words) else None
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        yield _long(ALIASES.get(name, name), value if equals else None, following)
        return
    for index, letter in enumerate(word[1:], 1):
        name = SHORT.get(letter, "")
        if not name:
            raise ReferenceFault(f"found the unknown option -{letter} in {word!r}", A_REFERENCE)
        rest = word[index + 1 :]
        if name in TAKES_VALUE or rest.startswith("="):
            yield _long(name, rest.removeprefix("=") if rest else None, following)
            return
        yield _long(name, None, following)[0], 0 if rest else 1
    if word == "-":
        raise ReferenceFault("found a lonely -", A_REFERENCE)


def _long(name: str, value: str | None, following: str | None) -> tuple[Option | None, int]:
    if name in REFUSED:
        raise ReferenceFault(f"found --{name}: {REFUSED[name]}", f"the image without --{name}")
    if name in TAKES_VALUE:
        given = following if value is None else value
        if given is None:
            raise ReferenceFault(f"found --{name} without a value", f"--{name}=VALUE")
        return Option(name, given), 2 if value is None else 1
    if name not in FLAGS:
        raise _unknown(name)
    return _flag(name, value or "true"), 1


def _flag(name: str, value: str) -> Option | None:
    """None for one that goes without saying."""
    if value not in _TRUE | _FALSE:
        raise ReferenceFault(f"found --{name}={value}", f"--{name}, --{name}=false, or neither")
    if name not in _NEEDED:
        return Option(name, "true" if value in _TRUE else "false")
    if value in _FALSE:
        raise ReferenceFault(f"found --{name}={value}", f"no --{name}: workers need it")
    return None


def _unknown(name: str) -> ReferenceFault:
    known = sorted(TAKES_VALUE | FLAGS)
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f" (did you mean --{close[0]}?)" if close else ""
    return ReferenceFault(f"found the unknown option --{name}{hint}", A_REFERENCE)
