"""The parts of the client that do no I/O: addresses, times, back-off, queue, errors, handshake."""

import math
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from drop import errors
from drop.client import AsyncClient, Client, default_address, default_token, limits
from drop.client.address import Address, parse_address
from drop.client.backoff import Backoff
from drop.client.socket_connection import Reply
from drop.client.terms import document, goodbye, timeout_from, welcome_from
from drop.errors import ConfigurationError, ConnectionLost, DropError, ProtocolError, Unauthorized
from drop.testing.reference import answer, goaway, welcome


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8085", Address("127.0.0.1", 8085, "")),
        ("node.example:1", Address("node.example", 1, "")),
        ("[::1]:8085", Address("::1", 8085, "")),
        ("unix:/run/drop/drop.sock", Address("", 0, "/run/drop/drop.sock")),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert str(parse_address(text)) == text


BAD_ADDRESSES = ["", "host", ":1", "host:", "host:x", "::1:80", "unix:", "h:65536"]


@pytest.mark.parametrize("text", BAD_ADDRESSES)
def test_bad_addresses_say_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_address(text)


def test_default_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DROP_ADDRESS", "there:1")
    assert default_address() == "there:1"
    monkeypatch.delenv("DROP_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "drop" / "drop.sock"
    path.parent.mkdir()
    path.write_text("not a socket")
    assert default_address() != f"unix:{path}"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert default_address() == f"unix:{path}"
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert default_address() == f"unix:{path}"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_without_arguments_looks_as_the_command_does(
    kind: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DROP_ADDRESS", "there:1")
    assert "there:1" in repr(kind())
    assert "there:2" in repr(kind("there:2"))


def test_default_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DROP_TOKEN", raising=False)
    assert default_token() == b""
    monkeypatch.setenv("DROP_TOKEN", "secret")
    assert default_token() == b"secret"


def test_timeouts() -> None:
    assert timeout_from(1.5) == (1500, 1.5)
    assert timeout_from(0.0001) == (1, 0.0001)
    assert timeout_from(math.inf) == (0, math.inf)
    assert timeout_from(1e9)[0] == 2**32 - 1
    for bad in (0, -1, math.nan):
        with pytest.raises(ValueError, match="timeout"):
            timeout_from(bad)


def test_backoff_doubles_with_jitter_up_to_a_bound() -> None:
    longest = Backoff(lambda: 1.0)
    pauses = [longest.next() for _ in range(8)]
    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert pauses[-1] == limits.BACKOFF_MAX_S
    longest.reset()
    assert longest.next() == 0.05
    assert Backoff(lambda: 0.0).next() == 0.025


def test_welcome() -> None:
    good = welcome_from(welcome(payload_max=5, calls_max=7, node="n", authenticated=True))
    assert good == (1, True, 5, 7, "n")
    assert good.frame_max == limits.HEADER + limits.ANSWER_MAX
    assert welcome_from(welcome(payload_max=1 << 30)).frame_max == limits.HEADER + (1 << 30)
    with pytest.raises(ProtocolError, match="version 2"):
        welcome_from(welcome(version=2))
    with pytest.raises(ProtocolError, match="WELCOME"):
        welcome_from(answer(1))
    with pytest.raises(Unauthorized, match="wrong token"):
        welcome_from(goaway(9, "wrong token"))


def test_goodbye_of_any_status() -> None:
    assert str(goodbye(8, b"stopping")).endswith("draining: stopping")
    assert isinstance(goodbye(99, b"\xff"), ConnectionLost)


def test_documents() -> None:
    assert document(b'{"a": 1}') == {"a": 1}
    for bad in (b"", b"[1]", b"{", b"\xff"):
        with pytest.raises(ProtocolError, match="JSON"):
            document(bad)


def test_every_status_has_its_class() -> None:
    for code, name in errors.STATUS.items():
        if code != errors.OK:
            error = errors.error_for(code, "text")
            assert (error.status, str(error)) == (name, "text")
    assert isinstance(errors.error_for(2), TimeoutError)
    assert isinstance(ConnectionLost(), ConnectionError)
    assert issubclass(ProtocolError, ConnectionLost)
    assert str(errors.error_for(3)) == "overloaded"


def test_configuration_error_names_the_place() -> None:
    where = {"file": "f.yaml", "line": 3, "column": 5}
    full = ConfigurationError("found 'x'", **where, key="func[0].num", expected="a number")
    assert str(full) == "f.yaml:3:5: func[0].num: found 'x'; expected a number"
    assert str(ConfigurationError("no such file", file=Path("f.yaml"))) == "f.yaml: no such file"
    assert not isinstance(full, DropError)


def test_importing_the_client_is_light() -> None:
    """Neither asyncio nor anything outside the standard library and drop._fast.codec."""
    code = "import drop.client, sys; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "asyncio" not in loaded
    heavy = ("uvloop", "orjson", "pydantic", "yaml", "typer", "rich", "psutil", "cffi")
    assert not {name.split(".")[0] for name in loaded} & set(heavy)
    fast = {name for name in loaded if name.startswith("drop._fast.")}
    assert fast == {"drop._fast.codec"}


def test_a_reply_is_enough_of_a_future() -> None:
    reply = Reply()
    assert not reply.done()
    assert not reply.cancelled()
    reply.set_result(b"x")
    assert (reply.done(), reply.value, reply.error) == (True, b"x", None)
