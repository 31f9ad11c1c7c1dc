"""JSON-RPC as texts: what is recognized, what is refused, and that nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.adapters import jsonrpc
from drop.adapters.jsonrpc import Malformed, Message, parse, replaced


def code_of(data: bytes) -> int:
    with pytest.raises(Malformed) as told:
        parse(data)
    return told.value.code


def test_the_three_kinds() -> None:
    request = parse(b' {"jsonrpc":"2.0","id":7,"method":"a","params":{"x":[1]}} ')
    assert (request.method, request.identity) == ("a", "7")
    assert request.value("params", "x") == ["1"]
    notification = parse(b'{"method":"n"}')
    assert (notification.method, notification.identity) == ("n", "")
    response = parse(b'{"id":"q","error":{"code":-1}}')
    assert (response.method, response.identity, response.is_error) == ("", '"q"', True)
    assert parse(b'{"id":null,"error":{}}').identity == "null"
    assert not parse(b'{"id":1,"result":null}').is_error


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", -32700),
        (b"x", -32700),
        (b"1", -32700),
        (b"{", -32700),
        (b'{"a"}', -32700),
        (b'{"a":}', -32700),
        (b'{"a":1,}', -32700),
        (b"{1:2}", -32700),
        (b'{"a":1 "b":2}', -32700),
        (b'{"a":NaN}', -32700),
        (b'{"a":1}{', -32700),
        (b'{"a":"\xff"}', -32700),
        (b'{"id":1,"id":1,"method":"m"}', -32700),
        (b'{"x":' + b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"{}", -32600),
        (b'{"id":1}', -32600),
        (b'{"id":1,"result":1,"error":1}', -32600),
        (b'{"id":null,"method":"m"}', -32600),
        (b'{"id":true,"method":"m"}', -32600),
        (b'{"id":1.0,"method":"m"}', -32600),
        (b'{"id":{},"method":"m"}', -32600),
        (b'{"id":' + b"1" * 65 + b',"method":"m"}', -32600),
        (b'{"id":"' + b"x" * 1025 + b'","method":"m"}', -32600),
        (b'{"id":1,"method":null}', -32600),
        (b'{"method":7}', -32600),
    ],
)
def test_what_is_no_message(data: bytes, code: int) -> None:
    assert code_of(data) == code


def test_a_refusal_knows_the_id_where_there_is_one() -> None:
    with pytest.raises(Malformed) as told:
        parse(b'{"id":"abc","method":3}')
    assert told.value.identity == '"abc"'


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
SPACES = st.sampled_from(["", " ", "\t", " \r "])


@given(
    before=st.dictionaries(st.text().filter(lambda key: key not in ("id", "method")), JSON),
    identity=st.integers() | st.text(max_size=50),
    params=JSON,
    space=SPACES,
    ascii_only=st.booleans(),
)
def test_only_the_id_is_replaced(
    before: dict[str, object], identity: object, params: object, space: str, ascii_only: bool
) -> None:
    document = {**before, "id": identity, "method": "m", "params": params}
    text = json.dumps(document, ensure_ascii=ascii_only, separators=(f"{space},", f":{space}"))
    try:
        message = parse(text.encode())
    except UnicodeEncodeError:
        return  # a half of a surrogate pair, which UTF-8 has not
    assert json.loads(message.identity) == identity
    changed = message.with_identity('"other"')
    assert json.loads(changed) == {**document, "id": "other"}
    assert parse(changed.encode()).with_identity(message.identity) == text


def test_places_deeper_down() -> None:
    message = parse(b'{"method":"m","params":{"a" : {"b": 1.50} , "c":2}}')
    member = message.member("params", "a", "b")
    assert member is not None
    assert replaced(message.text, [(member, "null")]) == (
        '{"method":"m","params":{"a" : {"b": null} , "c":2}}'
    )
    assert message.member("params", "c", "d") is None
    assert message.member("params", "x") is None
    assert message.value("params", "c", "d") is None


def test_what_is_written_is_a_message() -> None:
    written: list[Message] = [
        parse(jsonrpc.error("1", -5, "no", status="x").encode()),
        parse(jsonrpc.result('"a"', {"b": 1}).encode()),
        parse(jsonrpc.notification("n", {"c": "\n"}).encode()),
        parse(jsonrpc.notification("n").encode()),
    ]
    assert written[0].value("error", "data", "status") == "x"
    assert written[1].value("result") == {"b": "1"}
    assert written[2].value("params", "c") == "\n"
    assert written[3].method == "n"
