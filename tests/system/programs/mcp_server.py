"""An MCP server by the package `mcp`: adds, tells its process, sleeps, asks its client, dies."""

import asyncio
import os
import signal

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("test", instructions="for tests")


@server.tool()
def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


@server.tool()
def pid() -> int:
    """The process that answers."""
    return os.getpid()


@server.tool()
async def wait(context: Context) -> str:  # type: ignore[type-arg]
    """Goes on until it is cancelled."""
    await context.report_progress(1, 2)
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)
    return ""


@server.tool()
def die() -> str:
    """Ends without an answer."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@server.resource("test://text")
def text() -> str:
    """A resource."""
    return "the text"


server.run("stdio")
