"""The adapter of kind mcp as the node starts it: lines of TOKEN::json in and out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drop.adapters.command import adapted

PROGRAMS = Path(__file__).parent / "programs"
REAL_SERVER = (sys.executable, str(PROGRAMS / "mcp_server.py"))
SMALL_SERVER = (sys.executable, str(PROGRAMS / "small_mcp_server.py"))


def adapter_command(command: Sequence[str], timeout_ms: int = 30_000) -> tuple[str, ...]:
    return adapted("mcp", tuple(command), timeout_ms=timeout_ms, payload_max=64 << 20)


class McpWorker:
    """One adapter with a server program behind it; used in a `with`."""

    def __init__(
        self, directory: Path, command: Sequence[str], *, timeout_ms: int = 30_000
    ) -> None:
        self._log = directory / "stderr"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                adapter_command(command, timeout_ms),
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._token = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def send(self, message: object, client: str = "") -> str:
        """Writes a message (bytes: as they are); the token that its answer will have."""
        self._token += 1
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        if client:
            data = b'{"drop/client":"%s",' % client.encode() + data[1:]
        self.stdin.write(b"%d::%s\n" % (self._token, data))
        self.stdin.flush()
        return str(self._token)

    def receive(self) -> tuple[str, Any]:
        """The next answer and its token; None for an empty one."""
        line = self.stdout.readline()
        assert line, f"no answer; the log is:\n{self.log}"
        token, _, payload = line.rstrip(b"\n").partition(b"::")
        return token.decode(), json.loads(payload) if payload else None

    def call(self, method: str, identity: object = 1, client: str = "", **params: object) -> Any:
        """One request, answered before the next."""
        message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        token = self.send(message, client)
        answered, answer = self.receive()
        assert answered == token
        return answer

    def tell(self, method: str, client: str = "", **params: object) -> None:
        """One notification, and its empty answer."""
        token = self.send({"jsonrpc": "2.0", "method": method, "params": params}, client)
        assert self.receive() == (token, None)

    def initialize(self, version: str = "2025-06-18", **capabilities: object) -> Any:
        return self.call(
            "initialize",
            protocolVersion=version,
            capabilities=capabilities,
            clientInfo={"name": "test", "version": "1"},
        )

    def end(self) -> int:
        """Closes stdin; the exit code."""
        self.stdin.close()
        return self.process.wait(30)
