"""Real sockets: who can reach them, and what is said when one cannot be had."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop.config import Settings, load_settings
from drop.errors import ConfigurationError
from drop.host.listeners import Listeners


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short: a Unix socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="drop-") as name:
        yield Path(name)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings(directory: Path, environ: dict[str, str], config: Path | None = None) -> Settings:
    return load_settings(
        config=str(config) if config else None,
        var_dir=str(directory),
        environ={"HOME": str(directory), **environ},
        uid=12345,
        host_name="test",
    )


def bind(directory: Path, environ: dict[str, str], config: Path | None = None) -> Listeners:
    return Listeners(settings(directory, environ, config), environ)


def refusal(directory: Path, environ: dict[str, str], config: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as told:
        bind(directory, environ, config)
    assert not (directory / "drop.sock").exists()
    return str(told.value)


@pytest.mark.parametrize("profile", ["throughput", "latency", "edge"])
def test_sockets_of_the_network_have_the_options_of_the_profile(
    directory: Path, profile: str
) -> None:
    listeners = bind(directory, {"DROP_LISTEN": "127.0.0.1:0", "DROP_TUNING_PROFILE": profile})
    unix, tcp = listeners.take()
    os.close(unix.fd)
    with socket.socket(fileno=tcp.fd) as server:
        assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
    listeners.close()


def test_both_kinds_take_connections(directory: Path) -> None:
    listeners = bind(directory, {"DROP_LISTEN": "127.0.0.1:0,[::1]:0"})
    unix, *tcp = listeners.take()
    assert unix.trusted
    assert not any(listener.trusted for listener in tcp)
    assert listeners.addresses[0] == f"unix:{directory}/drop.sock"
    with contextlib.ExitStack() as stack:
        for listener in (unix, *tcp):
            server = stack.enter_context(socket.socket(fileno=listener.fd))
            client = stack.enter_context(socket.socket(server.family, socket.SOCK_STREAM))
            client.connect(server.getsockname())
            server.setblocking(True)
            stack.enter_context(server.accept()[0])
    listeners.close()
    assert not (directory / "drop.sock").exists()


def test_only_this_user_can_reach_the_unix_socket(directory: Path) -> None:
    before = os.umask(0)
    try:
        listeners = bind(directory, {"DROP_LISTEN": "127.0.0.1:0"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "drop.sock").stat().st_mode) == 0o600
    listeners.close()


def test_a_port_in_use_asked_for_by_the_environment(directory: Path, taken: int) -> None:
    text = refusal(directory, {"DROP_LISTEN": f"127.0.0.1:{taken}"})
    assert text.startswith("environment: DROP_LISTEN: cannot listen on ")
    assert f"127.0.0.1:{taken}" in text
    assert "in use by another process (EADDRINUSE)" in text
    assert "`listen` in the configuration file, or DROP_LISTEN" in text


def test_a_port_in_use_asked_for_by_a_line_of_the_file(directory: Path, taken: int) -> None:
    config = directory / "drop.yaml"
    config.write_text(f"name: one\nlisten:\n  - 127.0.0.1:0\n  - 127.0.0.1:{taken}\n")
    assert refusal(directory, {}, config).startswith(f"{config}:4: cannot listen on ")


def test_a_port_in_use_that_is_the_default(directory: Path) -> None:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", 8085)):
        assert refusal(directory, {}).startswith("default: listen: cannot listen on ")
        config = directory / "drop.yaml"
        config.write_text("name: one\n")
        assert f"default: listen (not in {config})" in refusal(directory, {}, config)


def test_an_address_of_another_machine(directory: Path) -> None:
    token = directory / "token"
    token.write_text("0123456789abcdef")
    token.chmod(0o600)
    config = directory / "drop.yaml"
    config.write_text(f"listen: 192.0.2.1:9999\ntoken_file: {token}\n")
    assert "is not an address of this machine (EADDRNOTAVAIL)" in refusal(directory, {}, config)


def test_the_socket_of_a_dead_node_is_replaced(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "drop.sock"))
    bind(directory, {"DROP_LISTEN": "127.0.0.1:0"}).close()
    assert not (directory / "drop.sock").exists()


def test_the_socket_of_a_live_node_is_not(directory: Path) -> None:
    environ = {"DROP_LISTEN": "127.0.0.1:0"}
    first = bind(directory, environ)
    with pytest.raises(ConfigurationError, match="in use by another node"):
        bind(directory, environ)
    assert (directory / "drop.sock").exists()
    first.close()


def test_a_file_in_the_place_of_the_socket_is_not_removed(directory: Path) -> None:
    (directory / "drop.sock").write_text("precious")
    with pytest.raises(ConfigurationError, match="exists and is not a socket"):
        bind(directory, {})
    assert (directory / "drop.sock").read_text() == "precious"


def test_a_directory_that_cannot_be_made(directory: Path) -> None:
    (directory / "file").write_text("")
    environ = {"DROP_UNIX_SOCKET": str(directory / "file" / "drop.sock")}
    text = refusal(directory, environ)
    assert text.startswith("environment: DROP_UNIX_SOCKET: cannot listen on ")
