"""An MCP server on stdio: the airlines of the flights, as tools for a model."""

import csv
from pathlib import Path

from mcp.server.mcpserver import MCPServer

FILE = Path(__file__).resolve().parent.parent / "data" / "airlines.csv"
with FILE.open(newline="") as rows:
    AIRLINES = {row["carrier"]: row["name"] for row in csv.DictReader(rows)}

server = MCPServer("airlines")


@server.tool()
def airline(code: str) -> str:
    """The name of an airline, by its code of two characters."""
    return AIRLINES[code.upper()]


@server.tool()
def codes(contains: str) -> list[str]:
    """The codes of the airlines whose names contain a text."""
    return [code for code, name in AIRLINES.items() if contains.lower() in name.lower()]


server.run("stdio")
