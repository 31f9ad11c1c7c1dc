"""Names, versions and which of them is newer."""

import pytest

from drop.packages.names import Reference, is_name, is_version, newest, order, parse_reference

IN_ORDER = [
    "0.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.2",
    "1.0.0-alpha.10",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0",
    "1.0.0",
    "1.0.1",
    "1.2",
    "1.10",
    "2.0.0-rc.1",
    "10",
]


def test_versions_have_an_order() -> None:
    assert sorted(set(IN_ORDER), key=order) == IN_ORDER
    assert all(map(is_version, IN_ORDER))


def test_the_newest_is_a_release_where_there_is_one() -> None:
    assert newest(["1.9", "1.10", "2.0.0-beta"]) == "1.10"
    assert newest(["2.0.0-alpha", "2.0.0-beta"]) == "2.0.0-beta"
    assert newest(["1.0+a-b", "0.9"]) == "1.0+a-b"
    assert newest([]) is None


@pytest.mark.parametrize(
    "text",
    ["", "v1", "1.", ".1", "1..2", "1.2.3.4.5", "1-", "1.0-", "1.0-a..b", "../1", "1/2", "1.0\n",
     "1.0 ", "1" * 10, "1." + "0" * 63, "1.0-" + "a" * 64, "\u0661.0"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    assert not is_version(text)


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".a", "-a", "a/b", "a:b", "a b", "a\n", "é", "a" * 65]
)
def test_what_is_no_name(text: str) -> None:
    assert not is_name(text)


def test_references() -> None:
    assert parse_reference("hello") == Reference("hello")
    assert parse_reference("hello:1.2.0-rc.1") == Reference("hello", "1.2.0-rc.1")
    assert str(Reference("hello", "1.2")) == "hello:1.2"
    for text in ("", ":", "hello:", ":1.0", "hello:1.0:2", "hello:latest", "../x:1.0"):
        assert parse_reference(text) is None, text
