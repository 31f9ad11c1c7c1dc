"""Any bytes are a document or a ConfigurationError, and places are right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import drop.document
from drop.document import FILE_BYTES_MAX, Document, parse, plain_scalar, read
from drop.errors import ConfigurationError
from drop.problems import Mark


def fault(data: bytes | str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(data.encode() if isinstance(data, str) else data, "f.yaml")
    return str(caught.value)


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{names}]")
    return "\n".join(lines)


FAULTS = {
    "a tab": (
        "a:\n\t- b\n",
        "f.yaml:2:1: not valid YAML: found character that cannot start any token, while scanning "
        "for the next token that starts in line 2; expected spaces: YAML does not allow tabs for "
        "indentation",
    ),
    "an open list": (
        "a: [1, 2\nb: 3\n",
        "f.yaml:2:2: not valid YAML: did not find expected ',' or ']', while parsing a flow "
        "sequence that starts in line 1",
    ),
    "not UTF-8": (
        b"a: 1\nb: \xff\n",
        "f.yaml:2:4: the byte 0xff is not UTF-8; expected plain text in UTF-8",
    ),
    "UTF-16": (
        "a: 1".encode("utf-16"),
        "f.yaml:1:1: the byte 0xff is not UTF-8; expected plain text in UTF-8",
    ),
    "a control character": (
        b"a: \x07",
        "f.yaml:1:4: the control character U+0007; expected plain text in UTF-8",
    ),
    "deep nesting": (
        "[" * 500,
        "f.yaml:1:33: nested too deeply; expected at most 32 levels",
    ),
    "deep nesting by aliases": (
        "\n".join(f"a{i}: &a{i} [[[[[[[*a{i - 1}]]]]]]]" if i else "a0: &a0 x" for i in range(9)),
        "f.yaml:6:16: nested too deeply; expected at most 32 levels",
    ),
    "billion laughs": (
        laughs(9),
        "f.yaml:6:10: too many values; expected at most 100000, aliases expanded",
    ),
    "an alias of itself": ("a: &x [*x]", "f.yaml:1:8: the alias *x contains itself"),
    "an unknown alias": (
        "a: *x",
        "f.yaml:1:4: the alias *x has no anchor; expected an anchor &x before it",
    ),
    "a second document": (
        "a: 1\n---\nb: 1\n",
        "f.yaml:2:1: a second document; expected one document for each file",
    ),
    "a tag": (
        "a: !!python/object/apply:os.system [ls]",
        "f.yaml:1:4: the tag !!python/object/apply:os.system is not known; expected values "
        "without tags",
    ),
    "a key that is a list": (
        "? [a, b]\n: c\n",
        "f.yaml:1:3: a key that is not a text; expected key: value",
    ),
    "a merge of a text": (
        "<<: a",
        "f.yaml:1:1: << merges something that is not a mapping; expected <<: *NAME",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_place_and_words(name: str) -> None:
    data, expected = FAULTS[name]
    assert fault(data) == expected


def test_a_key_twice_is_a_fault_that_does_not_hide_others() -> None:
    document = parse(b"a: 1\na: 2\nb: {c: 1, c: 2}\n", "f.yaml")
    assert document.value == {"a": 1, "b": {"c": 1}}
    assert [str(each) for each in document.source.faults] == [
        "f.yaml:2:1: the key 'a' is there already, in line 1; expected each key once",
        "f.yaml:3:11: the key 'c' is there already, in line 3; expected each key once",
    ]


def value(text: str) -> object:
    return parse(text.encode(), "f.yaml").value


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *[(each, None) for each in ("", "~", "null")],
        *[(each, each) for each in ("no", "yes", "on", "off", "No", "N")],
        *[("true", True), ("False", False)],
        *[("12", 12), ("-3", -3), ("0x1F", 31), ("0o17", 15), ("007", 7), ("1.50", 1.5)],
        *[(each, each) for each in ("1:30", "2007-01-02", "1_000", "nan", ".inf", "1.2.3")],
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(text: str, meant: object) -> None:
    got = plain_scalar(text)
    assert got == meant
    assert isinstance(got, type(meant))


def test_a_number_knows_how_it_was_written() -> None:
    assert value("[007, 1.10]")[0].written == "007"  # type: ignore[index]
    assert value("[007, 1.10]")[1].written == "1.10"  # type: ignore[index]


def test_quotes_make_text() -> None:
    assert value("['12', \"true\", !!str 5, '']") == ["12", "true", "5", ""]


def test_anchors_and_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{z: 9}, *a]}\n"
    assert value(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "x": 1},
        "c": {"z": 9, "x": 1, "y": 2},
    }


def test_places_count_from_one_and_know_keys_from_values() -> None:
    source = parse(b"\xef\xbb\xbfa: 1\nlist:\n  - k\xc3\xa4se: x\n", "f.yaml").source
    assert source.mark(("a",)) == Mark(1, 4)
    assert source.mark(("list", 0, "käse"), at_key=True) == Mark(3, 5)
    assert source.mark(("list", 0, "käse")) == Mark(3, 11)
    assert source.mark(("list", 0, "missing")) == Mark(3, 5)


def test_a_file_of_junk() -> None:
    assert isinstance(value("a" * 1_000_000), str)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (os.mkfifo, "is not a file; expected a YAML file"),
        (
            lambda path: path.write_bytes(b"#" * (FILE_BYTES_MAX + 1)),
            f"is too large; expected at most {FILE_BYTES_MAX} bytes",
        ),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "f.yaml"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigurationError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_name_with_a_nul() -> None:
    with pytest.raises(ConfigurationError, match="embedded null"):
        read("a\0b")


def check_total(data: bytes) -> None:
    """Any other exception fails the test that calls this."""
    result: Document | ConfigurationError
    try:
        result = parse(data, "f.yaml")
    except ConfigurationError as error:
        result = error
    assert isinstance(result, Document) or str(result).startswith("f.yaml")


YAML_PIECES = st.sampled_from(
    [
        *("a", "1", "~", "b: ", "- ", "? ", ": ", "<<: ", "&x ", "*x", "!!str ", "!", "#", "é"),
        *("[", "]", "{", "}", ",", "'", '"', "|\n", ">", "\n", "  ", "\t", "\x85"),
        *("---\n", "...\n", "%YAML 1.1\n"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(YAML_PIECES, max_size=40).map("".join))
def test_pieces_of_yaml_in_any_order_are_handled(text: str) -> None:
    check_total(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_handled(data: bytes) -> None:
    check_total(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(YAML_PIECES, max_size=40).map("".join))
def test_the_parser_without_libyaml_is_handled_too(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drop.document, "_LOADER", yaml.SafeLoader)
        check_total(text.encode())


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_json_is_yaml(plain: object) -> None:
    assert value(json.dumps(plain, ensure_ascii=False)) == plain


def test_nesting_without_end() -> None:
    """The parser itself may give up before we count the levels, further on in the line."""
    with pytest.raises(ConfigurationError) as caught:
        parse(b"[" * 100_000, "f.yaml")
    text = str(caught.value)
    assert text.startswith("f.yaml:1:")
    assert text.endswith(": nested too deeply; expected at most 32 levels")
