"""A function with a version: `versioned.py VERSION [--late FIFO] [--garbled]`.

Says `READY` (with --late: when it has read a byte from the FIFO), then answers each line with its
version, its process id and the line. `die N` ends it with exit code N; `sick` makes it answer
health checks (`ping`) wrongly from there on. The version `never` does not get ready.
"""

import os
import signal
import sys


def main() -> None:
    version = sys.argv[1]
    if version == "never":
        signal.pause()
    if "--garbled" in sys.argv:
        print("starting up", flush=True)
    if "--late" in sys.argv:
        os.read(os.open(sys.argv[sys.argv.index("--late") + 1], os.O_RDONLY), 1)
    print("READY to serve", flush=True)
    health = "pong"
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "die":
            sys.exit(int(rest))
        if word == "sick":
            health = "unwell"
        print(health if word == "ping" else f"{version} {os.getpid()} {line}", end="")
        print(end="\n" if word == "ping" else "", flush=True)


main()
