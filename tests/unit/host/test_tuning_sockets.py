"""The options that the node's sockets get, on real ones: what is accepted inherits them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drop.host.sockets import SO_BUSY_POLL, Asked, tcp_listener
from drop.host.tuning.advice import Profile
from drop.host.tuning.socket_options import BUSY_POLL_US, Option
from drop.host.tuning.sysctl import options_of_this_machine

ASKED = Asked("test", "another")


@contextmanager
def accepted(options: tuple[Option, ...]) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the listener, a connection that it has accepted)"""
    with tcp_listener("127.0.0.1", 0, ASKED, options) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname(), 10), listener.accept()[0] as served:
            yield listener, served


@pytest.mark.parametrize("profile", list(Profile))
def test_what_is_accepted_inherits(profile: Profile) -> None:
    with accepted(options_of_this_machine(profile)) as (listener, served):
        for each in (listener, served):
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert each.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_buffers_are_left_to_the_kernel() -> None:
    """As large as those of a listener without any option, so not locked by a value of ours."""
    with (
        accepted(()) as (_, plain),
        accepted(options_of_this_machine(Profile.THROUGHPUT)) as (
            _,
            served,
        ),
    ):
        for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            size = served.getsockopt(socket.SOL_SOCKET, name)
            assert size == plain.getsockopt(socket.SOL_SOCKET, name)


def test_busy_poll_is_inherited_or_refused_without_harm() -> None:
    with accepted((Option("SO_BUSY_POLL", BUSY_POLL_US, "test"),)) as (listener, served):
        try:
            value = listener.getsockopt(socket.SOL_SOCKET, SO_BUSY_POLL)
        except OSError as error:
            pytest.skip(f"no busy poll in this kernel: {error.strerror}")
        assert value in (BUSY_POLL_US, read_default())  # the second: without CAP_NET_ADMIN
        assert served.getsockopt(socket.SOL_SOCKET, SO_BUSY_POLL) == value


def read_default() -> int:
    path = Path("/proc/sys/net/core/busy_read")
    return int(path.read_text()) if path.exists() else 0


def test_an_option_without_a_value_is_not_set() -> None:
    with accepted((Option("TCP_NODELAY", None, "test"),)) as (listener, _):
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
