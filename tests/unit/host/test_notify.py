"""What the service manager and the owner of --ready-fd are told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from drop.host.notify import Notifier, take_variables
from drop.testing.clock import FakeClock


@pytest.fixture
def service_manager(tmp_path: Path) -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(10)
    return manager


def test_systemd_is_told(service_manager: socket.socket, tmp_path: Path) -> None:
    with service_manager:
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready("listens on 127.0.0.1:8085")
        assert service_manager.recv(999) == b"READY=1\nSTATUS=listens on 127.0.0.1:8085"
        notifier.reloading(1.5)
        assert service_manager.recv(999) == b"RELOADING=1\nMONOTONIC_USEC=1500000"
        notifier.reloaded()
        assert service_manager.recv(999) == b"READY=1"
        notifier.stopping()
        assert service_manager.recv(999).startswith(b"STOPPING=1")


def test_an_abstract_address() -> None:
    name = f"drop-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).reloaded()
        assert manager.recv(99) == b"READY=1"


def test_nobody_listens(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, writing)
    notifier.ready("")
    notifier.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)


def test_the_ready_descriptor_gets_one_line_and_is_closed() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    notifier = Notifier({}, writing)
    assert not os.get_inheritable(writing)
    notifier.ready("listens")
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"ready\n"


def test_a_node_that_cannot_start_closes_it_without_a_line() -> None:
    reading, writing = os.pipe()
    Notifier({}, writing).close()
    with open(reading, "rb") as pipe:
        assert pipe.read() == b""


def test_the_watchdog_is_told_at_half_its_time_while_the_clock_turns(
    service_manager: socket.socket, tmp_path: Path
) -> None:
    with service_manager:
        service_manager.setblocking(False)
        environment = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "3000000",
            "WATCHDOG_PID": str(os.getpid()),
        }
        notifier, clock = Notifier(environment), FakeClock()
        notifier.watch(clock)
        for _ in range(3):
            assert service_manager.recv(99) == b"WATCHDOG=1"
            with pytest.raises(BlockingIOError):
                service_manager.recv(99)
            clock.advance(1.5)
        assert service_manager.recv(99) == b"WATCHDOG=1"
        notifier.close()
        clock.advance(10.0)
        with pytest.raises(BlockingIOError):
            service_manager.recv(99)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_no_answer(
    service_manager: socket.socket, tmp_path: Path, environment: dict[str, str]
) -> None:
    with service_manager:
        service_manager.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **environment})
        notifier.watch(FakeClock())
        with pytest.raises(BlockingIOError):
            service_manager.recv(99)


def test_children_are_not_told_whom_to_notify() -> None:
    environment = {"NOTIFY_SOCKET": "@systemd", "WATCHDOG_USEC": "1", "PATH": "/bin"}
    assert take_variables(environment) == {"NOTIFY_SOCKET": "@systemd", "WATCHDOG_USEC": "1"}
    assert environment == {"PATH": "/bin"}
