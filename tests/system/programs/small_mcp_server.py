"""An MCP server of the handshake era by the standard library, which does what the method names."""

import json
import os
import sys
from typing import Any

initialized = None


def write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def ask(method: str) -> dict[str, Any]:
    """A request to the client; what it answers."""
    write({"id": "mine", "method": method})
    answer: dict[str, Any] = json.loads(sys.stdin.readline())
    return answer


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any]:
    global initialized
    if method == "initialize":
        initialized = params
        tools = {"listChanged": True}
        resources = {"subscribe": True, "listChanged": True}
        version = params["protocolVersion"]
        return {
            "protocolVersion": version,
            "capabilities": {"tools": tools, "resources": resources},
        }
    if method == "told":
        return {"initialize": initialized, "pid": os.getpid(), "params": params}
    if method == "ask":
        return {"ping": ask("ping"), "sampling": ask("sampling/createMessage")}
    if method == "noise":
        sys.stdout.write("this is no message\n[]\n" + '{"id": 77777, "result": {}}\n')
        write({"method": "notifications/message", "params": {"level": "info", "data": "heard"}})
        write({"method": "notifications/progress", "params": {"progressToken": 1}})
        write({"method": "notifications/tools/list_changed"})
    return {}


for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method", "")
    if method == "die":
        os._exit(9)
    if method == "server/discover" and "--dies" in sys.argv:
        os._exit(8)
    if "id" not in message or method == "silence":
        print(method, message.get("params"), file=sys.stderr, flush=True)
    elif initialized is None and method != "initialize":
        write({"id": message["id"], "error": {"code": -32602, "message": "not initialized"}})
    else:
        write({"id": message["id"], "result": result_of(method, message.get("params", {}))})
