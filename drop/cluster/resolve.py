"""The addresses behind a host's name, by the machine's own resolver."""

from __future__ import annotations

import asyncio
import socket

RESOLVE_SECONDS_MAX = 5.0
"""A resolver whose servers are gone takes longer than anybody wants to wait."""

Address = tuple[str, int, int]
"""Numeric address, port, scope id (0 but for link-local addresses of IPv6)."""


async def resolve(host: str, port: int) -> list[Address]:
    """Raises OSError, also when it takes too long."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(
            loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM), RESOLVE_SECONDS_MAX
        )
    except TimeoutError:
        raise TimeoutError(None, f"no answer within {RESOLVE_SECONDS_MAX:g} s") from None
    return [
        (str(address[0]).partition("%")[0], int(address[1]), int((*address, 0, 0)[3]))
        for family, _, _, _, address in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
