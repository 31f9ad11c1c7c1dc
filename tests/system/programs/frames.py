"""A `frame` function. Its first argument says how it answers:

echo     each message with itself
early    as soon as it knows how long the message is, before it reads it: with the length
hasty    like early, and then reads no more
liar N   with the length N of an answer that never comes
"""

import os
import signal
import sys

how, *arguments = sys.argv[1:]


def answer(payload: bytes | bytearray) -> None:
    sys.stdout.buffer.write(len(payload).to_bytes(4, "big") + payload)
    sys.stdout.buffer.flush()


while prefix := os.read(0, 4):
    length = int.from_bytes(prefix, "big")
    if how in ("early", "hasty"):
        answer(b"%d" % length)
    if how == "hasty":
        signal.pause()
    if how == "liar":
        sys.stdout.buffer.write(int(arguments[0]).to_bytes(4, "big") + b"a beginning")
        sys.stdout.buffer.flush()
        signal.pause()
    payload = bytearray()
    while len(payload) < length:
        payload += os.read(0, length - len(payload))
    if how == "echo":
        answer(payload)
