"""Every limit of the client, with its unit and reason. What the node decides is in its WELCOME."""

from __future__ import annotations

from typing import Final

#: bytes of a frame's header, with the length field
HEADER: Final = 16
#: bytes of the body of a node's frame before its WELCOME has said more
SMALL_BODY_MAX: Final = 4096
#: bytes of an ANSWER or EVENT that are taken even when the node's payload_max is smaller
ANSWER_MAX: Final = 16 << 20
#: outstanding requests of one connection, whatever the node would allow
CALLS_MAX: Final = 65_536

#: bytes of a payload that are given to the transport at once: asyncio's copies what it is given
SLICE: Final = 256 << 10
#: encoded bytes at which output is written within a loop turn instead of at its end
OUTPUT_HIGH: Final = 256 << 10
#: bytes that the kernel has not taken: from here on calls wait in the client
TRANSPORT_HIGH: Final = 1 << 20
#: calls that wait in the client, for a connection or for room on it; more are refused
WAITING_MAX: Final = 65_536
#: bytes of their payloads
WAITING_BYTES_MAX: Final = 64 << 20
#: calls of one call_many() that are outstanding: the default bound of a pool's mailbox
WINDOW: Final = 1024

#: events that wait for the program; without WAIT more are counted as lost
EVENTS_MAX: Final = 65_536
#: bytes of them
EVENTS_BYTES_MAX: Final = 64 << 20
#: with WAIT: events, or bytes of them, at which the client stops reading from the node
EVENTS_WAIT: Final = 1024
EVENTS_WAIT_BYTES: Final = 1 << 20

#: bytes of parts of an answer that wait for the program: from here on the client does not read
PARTS_BYTES_MAX: Final = 1 << 20

#: s between two looks at the deadlines while anything is outstanding
WATCH_S: Final = 0.1
#: s between two looks at a connection that only waits for events
WATCH_IDLE_S: Final = 5.0
#: s that the node's own `timeout` answer may take; then the client gives up by itself
MARGIN_S: Final = 1.0
#: s without a byte from a node that owes one: ask it, then give it up
SILENCE_PING_S: Final = 15.0
SILENCE_MAX_S: Final = 30.0

#: s of the first and of the longest pause between two attempts to connect
BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
#: s that a connection must have lived for the pauses to start small again
STEADY_S: Final = 5.0

#: s that close() waits for output that the node does not read
CLOSE_S: Final = 2.0

#: idle connections that a blocking client keeps for its threads
IDLE_MAX: Final = 16
#: s after which an idle connection is looked at before it is used
IDLE_CHECK_S: Final = 1.0
