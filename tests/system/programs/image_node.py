"""Plays a node with one worker in a container: says `up` when the worker did, then waits to die.

image_node.py VAR_DIR ENGINE IMAGE COMMAND...
"""

import asyncio
import os
import sys

from drop.images.images import Images
from drop.workers.process import Command, launch


async def main(var_dir: str, engine: str, image: str, *cmd: str) -> None:
    images = Images(var_dir, engine=engine)
    start = images.start(await images.prepare(image, cmd=cmd), {})
    process = launch(Command(start.argv, None, start.environment))
    _, stdout = process.take_pipes()
    assert os.read(stdout, 3) == b"up\n"
    print("up", flush=True)
    sys.stdin.read()


asyncio.run(main(*sys.argv[1:]))
