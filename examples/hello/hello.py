"""Greets whoever a message names. Bytes, so that a name passes as it is."""

import sys

for name in sys.stdin.buffer:
    sys.stdout.buffer.write(b"Hello, %b, from Python\n" % name.rstrip(b"\n"))
    sys.stdout.buffer.flush()
