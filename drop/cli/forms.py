"""Every command by name: the function that does the work, and which of its parameters have no flag.

The keyword parameters of that function are the command's options: `token_file: Path | None = None`
is `--token-file FILE`. Both ways in (quick, commands) read them from here, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Form(NamedTuple):
    """Where a command's function is and what it takes by position."""

    module: str  # of drop.cli
    function: str
    positionals: tuple[str, ...] = ()

    def load(self) -> Callable[..., int]:
        """The function; it returns the exit code."""
        found: Callable[..., int] = getattr(import_module(f"drop.cli.{self.module}"), self.function)
        return found


COMMANDS = {
    "call": Form("call", "call", ("pool", "message")),
    "cast": Form("call", "cast", ("pool", "message")),
    "publish": Form("call", "publish", ("pool", "message")),
    "subscribe": Form("subscribe", "subscribe", ("pool",)),
    "bench": Form("bench", "bench", ("pool",)),
    "top": Form("top", "top"),
    "logs": Form("logs", "logs", ("pool",)),
    "stats": Form("status", "stats", ("pool",)),
    "ping": Form("status", "ping"),
    "doctor": Form("doctor", "doctor"),
    "tune": Form("tune", "tune"),
    "mcp": Form("mcp", "mcp", ("pool",)),
    "flow list": Form("flow", "flow_list"),
    "flow start": Form("flow", "flow_start", ("flow",)),
    "flow stop": Form("flow", "flow_stop", ("flow",)),
    "flow info": Form("flow", "flow_info", ("flow",)),
    "fun init": Form("fun", "fun_init", ("name",)),
    "fun pack": Form("fun", "fun_pack", ("directory",)),
    "fun install": Form("fun", "fun_install", ("source",)),
    "fun list": Form("fun", "fun_list"),
    "fun info": Form("fun", "fun_info", ("function",)),
    "fun remove": Form("fun", "fun_remove", ("function",)),
    "fun run": Form("fun_run", "fun_run", ("function",)),
    "fun test": Form("fun_run", "fun_test", ("function",)),
    "worker list": Form("worker", "worker_list"),
    "worker restart": Form("worker", "worker_restart", ("target",)),
    "worker kill": Form("worker", "worker_kill", ("target",)),
    "node list": Form("nodes", "node_list"),
    "node watch": Form("nodes", "node_watch"),
    "node forget": Form("nodes", "node_forget", ("node",)),
    "node interfaces": Form("node_interfaces", "node_interfaces"),
    "key generate": Form("key", "key_generate"),
    "key install": Form("key", "key_install", ("source",)),
    "key rotate": Form("key", "key_rotate"),
    "key show": Form("key", "key_show"),
    "secret set": Form("secret", "secret_set", ("name", "value")),
    "secret list": Form("secret", "secret_list"),
    "secret remove": Form("secret", "secret_remove", ("name",)),
    "secret rotate": Form("secret", "secret_rotate"),
}

#: Names of the original's command; they work and are not shown.
ALIASES = {
    "flow_list": "flow list",
    "flow_start": "flow start",
    "flow_stop": "flow stop",
    "flow_info": "flow info",
}
