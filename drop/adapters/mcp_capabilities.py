"""What is said about capabilities on both sides of a pool. Pure.

Between a client and a server there is a pool, through which one message goes and one answer comes:
a server can ask a client for nothing, and tell it nothing by itself. Who is told so beforehand does
not wait for it.
"""

from __future__ import annotations

import json

from drop import __version__
from drop.adapters.jsonrpc import Member, Message, members_at, parse, replaced

#: The newest version that begins with a handshake; asked for when no client has asked for one.
PROTOCOL_VERSION = "2025-11-25"

_NOTIFYING = ("listChanged", "subscribe")


def initialize_params(message: Message | None, version: str = "") -> str:
    """The params for the server: those of the first client, but without its capabilities.

    They hold for all clients, and no client can be asked for sampling, roots or elicitation. With
    `version`, that version of the protocol is asked for, whatever the client wants.
    """
    params = message.members.get("params") if message is not None else None
    if message is None or params is None or not isinstance(params.value, dict):
        own = {
            "protocolVersion": version or PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": {"name": "drop", "version": __version__},
        }
        return json.dumps(own)
    own_texts = {"capabilities": "{}"} | (
        {"protocolVersion": json.dumps(version)} if version else {}
    )
    members, _ = members_at(message.text, params.start)
    changes = [(members[name], text) for name, text in own_texts.items() if name in members]
    changed = replaced(message.text, changes)
    return changed[params.start : params.end + len(changed) - len(message.text)]


def without_notifications(message: Message) -> Message:
    """The answer to `initialize` or `server/discover` that promises no notifications."""
    capabilities = message.member("result", "capabilities")
    if capabilities is None or not isinstance(capabilities.value, dict):
        return message
    changes: list[tuple[Member, str]] = []
    for member in members_at(message.text, capabilities.start)[0].values():
        if isinstance(member.value, dict):
            inner, _ = members_at(message.text, member.start)
            changes += [(inner[name], "false") for name in _NOTIFYING if name in inner]
    return parse(replaced(message.text, changes).encode()) if changes else message
