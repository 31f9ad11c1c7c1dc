"""What a handler can do to the protocol, in Python. `sdk_probe.py sync|async [OPTION=VALUE]...`

An OPTION is one of drop.function; `ready=TEXT` is said first, `hold=SECONDS` sets HOLD_S.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

# As it would be copied: without the package around it.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "drop"))

import function

OPTIONS = dict(word.split("=", 1) for word in sys.argv[2:])


class Crowd:
    """How many asynchronous handlers run at a time."""

    now = peak = 0


def handle(message: bytes) -> object:
    word, _, rest = message.partition(b" ")
    if word == b"noise":
        print("noise")
        subprocess.run(["echo", "noise"], check=True)
        return "quiet"
    if word == b"hungry":
        subprocess.run(["cat"], check=True)
        return "fed"
    if word == b"fail":
        raise ValueError("asked to fail")
    if word == b"leave":
        sys.exit(7)
    if word == b"newline":
        return b"a\nb"
    if word == b"term":
        os.kill(os.getpid(), signal.SIGTERM)
    if word == b"gate":
        Path(os.fsdecode(rest)).read_bytes()
    if word == b"big":
        return b"x" * int(rest)
    return b"=" + message


async def handle_async(message: bytes) -> object:
    Crowd.now += 1
    Crowd.peak = max(Crowd.peak, Crowd.now)
    try:
        await asyncio.sleep(0)
        if message == b"hold":
            await RELEASED.wait()
        elif message == b"release":
            RELEASED.set()
        elif message == b"peak":
            return Crowd.peak
        return handle(message)
    finally:
        Crowd.now -= 1


def as_text(message: str) -> str:
    return "=" + message


def as_json(message: dict) -> object:
    return [message]


def blame(message: bytes, error: Exception) -> bytes:
    return b"%s because %s" % (message, str(error).encode())


if "ready" in OPTIONS:
    print("said too early, and kept back by the buffer of stdout")
    function.ready(OPTIONS.pop("ready"))
if "hold" in OPTIONS:
    function.HOLD_S = float(OPTIONS.pop("hold"))
options: dict = {**OPTIONS}
if "concurrency" in options:
    options["concurrency"] = int(options["concurrency"])
if options.get("on_error") == "blame":
    options["on_error"] = blame
RELEASED = asyncio.Event()
handlers = {"sync": handle, "async": handle_async, "text": as_text, "json": as_json}
function.run(handlers[sys.argv[1]], **options)
