"""The Python SDK's framing and options, without a process; processes are in tests/system."""

from __future__ import annotations

import ast
import functools
import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drop.function
from drop.function import Function, _Frames, _Lines, emit, function, run

SOURCE = Path(drop.function.__file__)

messages = st.lists(st.binary(max_size=20).map(lambda each: each.replace(b"\n", b"")), max_size=8)
frames = st.lists(st.binary(max_size=20), max_size=8)
cuts = st.lists(st.integers(0, 200), max_size=12)


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    """The data cut at these places; as from read(2), no piece is empty."""
    ends = sorted({place for place in places if 0 < place < len(data)})
    bounds = [0, *ends, len(data)]
    cut = [data[a:b] for a, b in itertools.pairwise(bounds)]
    return [piece for piece in cut if piece]


def taken(parser: _Lines, chunks: list[bytes]) -> list[bytes]:
    found = [message for chunk in chunks for message in parser.feed(chunk)]
    return found + parser.end()


@given(messages, st.binary(max_size=9).map(lambda each: each.replace(b"\n", b"")), cuts)
def test_lines_however_they_are_cut(sent: list[bytes], rest: bytes, places: list[int]) -> None:
    data = b"".join(message + b"\n" for message in sent) + rest
    parser = _Lines()
    assert taken(parser, pieces(data, places)) == sent
    assert bool(parser.fault) == bool(rest)


@given(frames, st.sampled_from([b"", b"\0", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\3ab"]), cuts)
def test_frames_however_they_are_cut(sent: list[bytes], rest: bytes, places: list[int]) -> None:
    data = b"".join(len(message).to_bytes(4, "big") + message for message in sent) + rest
    parser = _Frames()
    assert taken(parser, pieces(data, places)) == sent
    assert bool(parser.fault) == bool(rest)


@given(st.binary(max_size=99), cuts)
def test_all_of_stdin_however_it_is_cut(data: bytes, places: list[int]) -> None:
    assert taken(_Lines(whole=True), pieces(data, places)) == [data]


@pytest.mark.parametrize(
    ("parser", "fits", "too_large"),
    [
        (_Lines(bytes_max=5), b"12345", b"6"),
        (_Lines(bytes_max=5, whole=True), b"12345", b"6"),
        (_Frames(bytes_max=5), b"\0\0\0\5", b"12345\0\0\0\6"),
    ],
)
def test_a_message_over_the_limit(parser: _Lines, fits: bytes, too_large: bytes) -> None:
    assert (parser.feed(fits), parser.fault) == ([], "")
    parser.feed(too_large)
    assert "more than 5" in parser.fault


def test_a_big_message_costs_time_in_proportion_to_it() -> None:
    """It is put together once: neither a part of it nor the whole is copied for each chunk."""
    lines, framed = _Lines(), _Frames()
    chunk = bytes(1 << 16)
    framed.feed((len(chunk) * 100).to_bytes(4, "big"))
    for _ in range(99):
        lines.feed(chunk)
        framed.feed(chunk)
    assert all(part is chunk for part in lines.parts)
    assert all(part is chunk for part in framed.parts[1:])
    assert [len(message) for message in lines.feed(b"\n")] == [99 << 16]
    assert [len(message) for message in framed.feed(chunk)] == [100 << 16]


def test_a_decorated_handler_can_be_called() -> None:
    @function
    def shout(message: bytes) -> bytes:
        return message.upper()

    assert isinstance(shout, Function)
    assert shout(b"a") == b"A"
    assert shout.kind is None


def test_a_decorator_with_options() -> None:
    @function(kind="async", concurrency=3, on_error="answer", message="json")
    async def handler(message):  # type: ignore[no-untyped-def]
        return message

    found = (handler.kind, handler.concurrency, handler.on_error, handler.message)
    assert found == ("async", 3, "answer", "json")
    assert handler.is_async


def unannotated(message):  # type: ignore[no-untyped-def]
    return message


class Handler:
    """Its call is the handler."""

    number: int

    def __call__(self, message: str) -> str:
        return message

    async def later(self, message: dict[str, int]) -> None:
        assert message is not None


def of_text(message: str, other: int = 0) -> int:
    return other


def of_list(message: list) -> None:  # type: ignore[type-arg]
    assert message is not None


def returns(message) -> str:  # type: ignore[no-untyped-def]
    return str(message)


@pytest.mark.parametrize(
    ("handler", "taken_as", "is_async"),
    [
        (unannotated, "bytes", False),
        (returns, "bytes", False),
        (of_text, "str", False),
        (of_list, "json", False),
        (Handler(), "str", False),
        (Handler().later, "json", True),
        (functools.partial(of_text, other=1), "str", False),
        (functools.partial(Handler().later), "json", True),
        (len, "bytes", False),
        (bytes.upper, "bytes", False),
        (lambda message: message, "bytes", False),
    ],
)
def test_what_a_handler_takes(handler: object, taken_as: str, is_async: bool) -> None:
    made = Function(handler)  # type: ignore[arg-type]
    assert (made.message, made.is_async) == (taken_as, is_async)


def of_number(message: int) -> int:
    return message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "'int'; expected bytes, str or json"),
        ({"message": "text"}, "'text'; expected bytes, str or json"),
        ({"message": "str", "concurrency": 0}, "concurrency=0"),
        ({"message": "str", "on_error": "ignore"}, "on_error='ignore'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Function(of_number, **options)  # type: ignore[arg-type]


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="kinds"):
        run(len, kinds="line")


@pytest.mark.parametrize(
    ("wanted", "said", "words"),
    [
        ("frame", "line", "the flow says kind line; expected frame"),
        ("lines", None, "the flow says kind lines"),
        (None, "mcp", "the flow says kind mcp; expected .*'line', 'frame'"),
    ],
)
def test_kinds_that_do_not_fit(
    wanted: str | None, said: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DROP_KIND", said or "")
    with pytest.raises(SystemExit, match=words):
        run(len, kind=wanted)


def test_an_event_is_one_line() -> None:
    with pytest.raises(ValueError, match="an event has a newline"):
        emit("a\nb")


def test_it_is_one_file_for_old_interpreters() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else map(_name, node.names))
        if name
    }
    assert imported <= sys.stdlib_module_names
    assert "inspect" not in imported


def _name(alias: ast.alias) -> str:
    return alias.name
