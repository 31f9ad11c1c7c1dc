"""The package `mcp` on both sides of a pool: a server as the function, clients over `drop mcp`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import drop
from drop.cli.forms import COMMANDS
from node_tools import StartNode, flow
from running_node import RunningNode
from system.mcp_worker import REAL_SERVER, McpWorker

mcp = pytest.importorskip("mcp", reason="needs the package mcp")
pytest.importorskip("mcp.server.mcpserver", reason="needs the package mcp, 2.0 or newer")
pytestmark = pytest.mark.system

INITIALIZE = (
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    '"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}'
)
# The command where it is there, else the function behind it.
BRIDGE = (
    ["-m", "drop.cli.main", "mcp"]
    if "mcp" in COMMANDS
    else [
        "-c",
        "import sys; from drop.cli.mcp import mcp; sys.exit(mcp(pool=sys.argv[1],"
        " address=sys.argv[3]))",
    ]
)


@pytest.fixture
def node(start_node: StartNode) -> RunningNode:
    pool = {"name": "tools", "kind": "mcp", "inflight": 64, "cmd": list(REAL_SERVER)}
    # Uncontained: the packages of the tests may lie where a worker may not look.
    uncontained = {"contain": "off"} | ({"user": "root"} if os.geteuid() == 0 else {})
    started: RunningNode = start_node(flow("mcp", pool | uncontained))
    return started


def bridge(node: RunningNode) -> Any:
    root = str(Path(drop.__file__).parent.parent)
    return mcp.StdioServerParameters(
        command=sys.executable,
        args=[*BRIDGE, "tools", "--address", node.socket_address],
        env={"PYTHONPATH": os.environ.get("PYTHONPATH", root)},
    )


@asynccontextmanager
async def older_client(node: RunningNode) -> AsyncIterator[Any]:
    """A client that begins with `initialize`."""
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(mcp.stdio_client(bridge(node)))
        session = await stack.enter_async_context(mcp.ClientSession(*streams))
        await session.initialize()
        yield session


async def pid_or_error(client: Any) -> int | str:
    """The server's process, or the beginning of what went wrong."""
    try:
        return int(text_of(await client.call_tool("pid", {})))
    except mcp.MCPError as error:
        return str(error).partition(":")[0]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def text_of(result: Any) -> str:
    return str(result.content[0].text)


async def test_a_client_of_the_handshake_era(node: RunningNode) -> None:
    async with older_client(node) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"add", "pid", "wait", "die"}
        assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
        resource = await client.read_resource("test://text")
        assert resource.contents[0].text == "the text"
        assert (await client.call_tool("add", {"a": "x", "b": 3})).is_error
        await client.send_ping()


async def test_a_modern_client(node: RunningNode) -> None:
    async with mcp.Client(bridge(node)) as client:
        assert client.protocol_version == "2026-07-28"
        assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"


async def test_clients_of_both_eras_at_once_with_colliding_ids(node: RunningNode) -> None:
    async with (
        older_client(node) as one,
        older_client(node) as other,
        mcp.Client(bridge(node)) as modern,
    ):
        clients = (one, other, modern)
        calls = [
            client.call_tool("add", {"a": 1000 * which, "b": number})
            for number in range(40)
            for which, client in enumerate(clients)
        ]
        answers = [text_of(answer) for answer in await asyncio.gather(*calls)]
        assert answers == [str(1000 * which + number) for number in range(40) for which in range(3)]
        pids = [text_of(await client.call_tool("pid", {})) for client in clients]
        assert pids[0] == pids[1] != pids[2]  # one server process for each era


async def test_a_server_that_is_killed_in_between(node: RunningNode) -> None:
    async with older_client(node) as one, older_client(node) as other:
        before = text_of(await one.call_tool("pid", {}))
        with pytest.raises(mcp.MCPError, match="ended by signal 9"):
            await other.call_tool("die", {})
        after = text_of(await one.call_tool("pid", {}))
        assert after != before
        assert text_of(await other.call_tool("pid", {})) == after


async def test_a_worker_that_is_killed_in_between(node: RunningNode) -> None:
    """The node starts another one, which initializes its server without having seen the client."""
    async with older_client(node) as client:
        server = int(text_of(await client.call_tool("pid", {})))
        os.kill(parent_of(server), signal.SIGKILL)
        # A call that meets the dying worker fails; none is lost, and later ones are served.
        results = [await pid_or_error(client) for _ in range(20)]
        assert {r for r in results if isinstance(r, str)} <= {"the pool tools did not answer"}
        assert results[-1] != server
        assert isinstance(results[-1], int)


async def test_a_call_that_is_given_up(node: RunningNode) -> None:
    """The server stops working on it, and the client can go on."""
    async with older_client(node) as client:
        task = asyncio.create_task(client.call_tool("wait", {}))
        assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert text_of(await client.call_tool("add", {"a": 1, "b": 2})) == "3"


def test_the_example(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parent.parent.parent / "examples/functions/airlines_mcp.py"
    with McpWorker(tmp_path, [sys.executable, str(example)]) as worker:
        answer = worker.call("tools/call", name="airline", arguments={"code": "ua"})
        assert answer["result"]["content"][0]["text"] == "United Air Lines Inc."


def run_bridge(node: RunningNode, pool: str, *lines: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *BRIDGE, pool, "--address", node.socket_address]
    text = "".join(f"{line}\n" for line in lines)
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_alone(node: RunningNode, tmp_path: Path) -> None:
    done = run_bridge(node, "tools", INITIALIZE, "", "{", "[]", '{"method":"notifications/x"}')
    assert done.returncode == 0
    answers = sorted(done.stdout.splitlines(), key=len)
    assert len(answers) == 3
    assert '"code": -32600' in answers[0]
    assert '"code": -32700' in answers[1]
    assert '"serverInfo"' in answers[2]
    done = run_bridge(node, "absent", INITIALIZE)
    assert '"status": "no_pool"' in done.stdout


def test_the_command_without_a_node(node: RunningNode) -> None:
    command = [sys.executable, *BRIDGE, "tools", "--address", "unix:/nonexistent/drop.sock"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "/nonexistent/drop.sock" in done.stderr
