"""`drop fun run`: one worker, with the terminal (or whatever stdin and stdout are) as its caller.

Each line that comes in is a message, each answer goes to `show`. For kind `exec` all of
stdin is one message; a `stream` gets none.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator

from drop.flow.spec import Function
from drop.packages.conversation import READ_BYTES, Conversation, Worker, WorkerFault

STDIN = 0

Launch = Callable[[], Worker]
Show = Callable[[bytes], None]
"""Gets each answer or event, without the newline of a line-framed kind."""


def run(function: Function, launch: Launch, show: Show) -> None:
    """Until the input or the function ends. Raises WorkerFault, and what `launch` does."""
    kind = function.effective_kind
    # An exec function is started when its message is there: its time limit begins with it.
    message = _everything() if kind == "exec" else b""
    conversation = Conversation(launch(), function, show_errors=True)
    try:
        if function.ready is not None:
            conversation.wait_until_ready(function.ready, function.start)
        if kind == "exec":
            show(conversation.whole(message))
        elif kind == "stream":
            _events(conversation, show)
        else:
            for line in _lines(conversation):
                show(conversation.ask(line))
            conversation.finish()
    finally:
        conversation.close()


def _everything() -> bytes:
    parts = []
    while data := os.read(STDIN, READ_BYTES):
        parts.append(data)
    return b"".join(parts)


def _lines(conversation: Conversation) -> Iterator[bytes]:
    """The lines of stdin. While none comes, the worker is watched: it may end, or say something."""
    rest = b""
    while True:
        while STDIN not in _ready([STDIN, conversation.watched]):
            conversation.check_silence()
        data = os.read(STDIN, READ_BYTES)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _ready(descriptors: list[int]) -> list[int]:
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    return [fd for fd, _ in poll.poll()]


def _events(conversation: Conversation, show: Show) -> None:
    """A source may be silent as long as it likes, and end when it likes."""
    while True:
        try:
            line = conversation.next_line(None)
        except WorkerFault:
            if conversation.ending is not None and conversation.ending.clean:
                return
            raise
        show(line)
