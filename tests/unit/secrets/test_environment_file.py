"""The lines of an env_file: what is taken, what is refused, and that no error shows a value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.errors import ConfigurationError
from drop.problems import ConfigurationErrors
from drop.secrets.environment_file import FILE_BYTES_MAX, VALUE_BYTES_MAX, VARIABLES_MAX, parse

TAKEN = [
    (b"", {}),
    (b"\n\n", {}),
    (b"A=1", {"A": "1"}),
    (b"A=1\nB=2\n", {"A": "1", "B": "2"}),
    (b"A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    (b"\xef\xbb\xbfA=1\n", {"A": "1"}),
    (b"# A=1\n  ; B=2\n\t\nC=3", {"C": "3"}),
    (b"A=", {"A": ""}),
    (b"A=''", {"A": ""}),
    (b"  A= spaced out \t", {"A": "spaced out"}),
    (b"A=x=y=z", {"A": "x=y=z"}),
    (b"A=x # no comment", {"A": "x # no comment"}),
    (b"A=it's", {"A": "it's"}),
    (b"A=$HOME ${X} `id`", {"A": "$HOME ${X} `id`"}),
    (b"A=' x\\n\"$ # '", {"A": ' x\\n"$ # '}),
    (b'A=" \' # $X "', {"A": " ' # $X "}),
    (b'A="\\" \\\\ \\$ \\`"', {"A": '" \\ $ `'}),
    (b'A="one\\\ntwo"', {"A": "onetwo"}),
    (b'A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
    (b"A='one\ntwo\n'  \nB=3", {"A": "one\ntwo\n", "B": "3"}),
    (b"A='-----BEGIN\r\nx\r\n'", {"A": "-----BEGIN\nx\n"}),
    ("A=grüße".encode(), {"A": "grüße"}),
    (b"A='a#b' \t", {"A": "a#b"}),
]


@pytest.mark.parametrize(("data", "variables"), TAKEN, ids=range(len(TAKEN)))
def test_what_is_taken(data: bytes, variables: dict[str, str]) -> None:
    assert parse(data, "f") == variables


REFUSED = [
    (b"A=1\nhunter2\n", "f:2: the line has no =; expected NAME=VALUE"),
    (b"export A=hunter2", "f:1: the line begins with export; expected NAME=VALUE without it"),
    (b"A =hunter2", "f:1: what stands before the = is no name"),
    (b"9A=hunter2", "f:1: what stands before the = is no name"),
    (b"A-B=hunter2", "f:1: what stands before the = is no name"),
    (b"=hunter2", "f:1: what stands before the = is no name"),
    (b"hunter2/x==", "f:1: what stands before the = is no name"),
    (b"\n\nA='hunter2\n\nB=x", "f:3: A: the quote is not closed; expected a ' at the end"),
    (b'A="hunter2', 'f:1: A: the quote is not closed; expected a " at the end'),
    (b'A="hunter2\\', "f:1: A: a backslash before something that needs none"),
    (b'A="hunter2\\n"', "f:1: A: a backslash before something that needs none"),
    (b"A=hunter2\\n", "f:1: A: a backslash without quotes; expected the value in single"),
    (b"A='hunter2'x", "f:1: A: there is text behind the closing quote"),
    (b'A="hunter2" # comment', "f:1: A: there is text behind the closing quote"),
    (b"A=1\n\nA=hunter2", "f:3: A: line 1 has this name already; expected each name once"),
    (b"DROP_NODE=hunter2", "f:1: DROP_NODE: names that start with DROP_"),
    (b"CREDENTIALS_DIRECTORY=hunter2", "CREDENTIALS_DIRECTORY: names that start with DROP_"),
    (b"A=1\nB=hunter2\0", "f:2: there is a NUL byte"),
    (b"A=1\nB=hunter2\xff", "f:2: there are bytes that are not UTF-8"),
    (b"A='\n'\nB=hunter2\xff", "f:3: there are bytes that are not UTF-8"),
]


@pytest.mark.parametrize(("data", "text"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(ConfigurationErrors, match=re.escape(text)) as told:
        parse(data, "f")
    assert "hunter2" not in str(told.value)
    assert len(told.value.errors) == 1


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigurationErrors) as told:
        parse(b"nothing\nA=1\nA=2\nB='x'y\nC=3\nDROP_X=1\n", "f")
    assert [error.line for error in told.value.errors] == [1, 3, 4, 6]


def test_limits() -> None:
    assert parse(b"A=" + b"x" * VALUE_BYTES_MAX, "f") == {"A": "x" * VALUE_BYTES_MAX}
    many = b"".join(b"A%d=\n" % number for number in range(VARIABLES_MAX))
    assert len(parse(many, "f")) == VARIABLES_MAX
    for data, text in (
        (b"A=" + b"x" * (VALUE_BYTES_MAX + 1), "A: the value is too large"),
        (many + b"B=\n", f"{VARIABLES_MAX + 1} variables; expected at most {VARIABLES_MAX}"),
        (b"#" * (FILE_BYTES_MAX + 1), "f:1: the file is too large"),
    ):
        with pytest.raises(ConfigurationErrors, match=text):
            parse(data, "f")


@given(st.binary(max_size=200) | st.text("A=\"'\\\n #;$x", max_size=60).map(str.encode))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    lines = data.count(b"\n") + 1
    variables, faults = outcome(data)
    assert all(1 <= (error.line or 0) <= lines for error in faults)
    assert not any("\0" in name + value for name, value in variables.items())


def outcome(data: bytes) -> tuple[dict[str, str], tuple[ConfigurationError, ...]]:
    try:
        return parse(data, "f"), ()
    except ConfigurationErrors as errors:
        return {}, errors.errors


@given(st.text(st.characters(exclude_characters="\0\r'", exclude_categories=("Cs",)), max_size=80))
def test_single_quotes_keep_what_is_in_them(value: str) -> None:
    assert parse(f"A='{value}'\nB=1".encode(), "f") == {"A": value, "B": "1"}


def test_the_sample_of_the_guide() -> None:
    guide = Path(__file__).parents[3].joinpath("docs/secrets.md").read_text()
    sample = next(block for block in guide.split("```") if block.startswith("sh\n# the database"))
    assert parse(sample.removeprefix("sh").encode(), "f") == {
        "DB_HOST": "db.example",
        "GREETING": 'single quotes: everything as it is, \\ and $ and "',
        "MOTD": 'double quotes: " \\ $ ` stand for themselves,\nand a value may have several lines',
    }
