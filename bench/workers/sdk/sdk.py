"""The function of ../echo.py on drop.function; `async` as its argument: a task for each message."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # this tree, not an installed one

from drop.function import run


def echo(message: str) -> str:
    return message


async def echo_later(message: str) -> str:
    return message


run(echo_later if sys.argv[1:] == ["async"] else echo)
