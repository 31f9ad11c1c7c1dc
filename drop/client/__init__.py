"""Call functions on a DROP node: `Client` blocks, `AsyncClient` runs on any asyncio loop.

Needs the standard library and drop._fast.codec only. `AsyncClient` is loaded when it is first
named: a program that blocks does not pay for importing asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drop.client.address import default_address, default_token
from drop.client.blocking import Client
from drop.client.blocking_subscription import BlockingSubscription
from drop.errors import (
    BadRequest,
    CallTimeout,
    Cancelled,
    ConnectionLost,
    Draining,
    DropError,
    FunctionError,
    NoPool,
    NoWorker,
    Overloaded,
    ProtocolError,
    TooLarge,
    Unauthorized,
)

if TYPE_CHECKING:
    from drop.client.asynchronous import AsyncClient
    from drop.client.subscription import Subscription

__all__ = [
    "AsyncClient",
    "BadRequest",
    "BlockingSubscription",
    "CallTimeout",
    "Cancelled",
    "Client",
    "ConnectionLost",
    "Draining",
    "DropError",
    "FunctionError",
    "NoPool",
    "NoWorker",
    "Overloaded",
    "ProtocolError",
    "Subscription",
    "TooLarge",
    "Unauthorized",
    "default_address",
    "default_token",
]


def __getattr__(name: str) -> Any:
    if name == "AsyncClient":
        from drop.client.asynchronous import AsyncClient as found
    elif name == "Subscription":
        from drop.client.subscription import Subscription as found  # type: ignore[assignment]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found
