"""A reactor to be looked at from outside: it does a known number of messages, then ends.

python -m bench.micro.host publish|calls MESSAGES      prints the messages per turn of the reactor
"""

from __future__ import annotations

import socket
import subprocess
import sys

from bench.system.load import PAYLOAD
from bench.system.publish import BATCH, Dispatch
from bench.system.roofline import own_worker

WORKERS = 4
INFLIGHT = 256
CLIENT = """
import sys
from drop.client import Client
with Client(sys.argv[1], timeout=600) as client:
    answers = client.call_many("echo", [b"x" * 100] * int(sys.argv[2]))
assert all(answer == b"x" * 100 for answer in answers)
"""


def publish(dispatch: Dispatch, messages: int) -> None:
    for _ in range(messages // BATCH):
        dispatch.publish([PAYLOAD] * BATCH)
    dispatch.finish()


def calls(dispatch: Dispatch, messages: int) -> None:
    """From another process, which is not looked at."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = "{}:{}".format(*listener.getsockname())
    dispatch.reactor.listen(listener.detach(), trusted=False)
    subprocess.run([sys.executable, "-c", CLIENT, address, str(messages)], check=True)


def main(mode: str, messages: int) -> None:
    dispatch = Dispatch(WORKERS, INFLIGHT, own_worker("c"))
    before = dispatch.statistics()["turns"]
    {"publish": publish, "calls": calls}[mode](dispatch, messages)
    turns = dispatch.statistics()["turns"] - before
    dispatch.close()
    print(messages / turns)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
