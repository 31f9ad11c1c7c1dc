"""A wrapped value shows itself to nobody who did not ask for it."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import orjson
import pytest

from drop.secrets.value import SECRET_BYTES_MAX, Secret, SecretError, check_name, not_set

VALUE = b"hunter2-correct-horse"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        lambda secret: f"{secret!r} {secret!s} {secret} {secret:>60}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: repr({"value": [secret]}),
        ascii,
    ],
)
def test_no_way_of_writing_shows_it(show: object) -> None:
    assert callable(show)
    text = show(Secret(VALUE))
    assert "hunter2" not in text
    assert "secret of 21 bytes" in text


def test_no_serialiser_takes_it() -> None:
    secret = Secret(VALUE)
    for dump in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, orjson.dumps, bytes):
        with pytest.raises(TypeError) as told:
            dump(secret)  # type: ignore[operator]
        assert "hunter2" not in str(told.value)


def test_a_traceback_with_variables_and_a_log_line_do_not_show_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = Secret(VALUE)
    try:
        raise ValueError(secret)
    except ValueError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        text = "".join(told.format())
        logging.getLogger("test").error("%s", secret, exc_info=True)
    assert "hunter2" not in text + caplog.text
    assert "secret of 21 bytes" in text


def test_the_value_is_there_for_who_asks() -> None:
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(bytearray(VALUE))
    assert Secret(VALUE) != Secret(b"x")
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize(("size", "word"), [(0, "empty"), (SECRET_BYTES_MAX + 1, "too large")])
def test_sizes_that_are_refused(size: int, word: str) -> None:
    with pytest.raises(SecretError, match=word) as told:
        Secret(b"x" * size)
    assert told.value.kind == "bad_request"


def test_the_largest_is_taken() -> None:
    assert len(Secret(b"x" * SECRET_BYTES_MAX)) == SECRET_BYTES_MAX


@pytest.mark.parametrize("name", ["DB_PASSWORD", "a", "_x9", "A" * 128])
def test_names_that_are_taken(name: str) -> None:
    assert check_name(name) is None


@pytest.mark.parametrize("name", ["", "9a", "a-b", "a/b", "..", ".a", "a\n", "ä", "A" * 129, "a\0"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(SecretError, match="expected 1 to 128"):
        check_name(name)


def test_a_value_in_the_name_is_not_repeated() -> None:
    with pytest.raises(SecretError) as told:
        check_name("DB_PASSWORD=hunter2")
    assert "hunter2" not in str(told.value)


def test_what_is_missing_is_said_with_what_to_do() -> None:
    assert not_set(["A"]) == "the secret A is not set on this node: `drop secret set A`"
    assert "the secrets A, B are not set" in not_set(["A", "B"])
