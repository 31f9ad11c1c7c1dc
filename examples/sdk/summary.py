"""summary: mean and median of the numbers in a message; several shapes of message, one handler.

A message is a JSON list, `[1, 2, 6]`; the answer is `{"mean":3,"median":2}`. Whatever else comes is
an error of whoever sent it: it is answered, and the worker goes on.
"""

import statistics
import sys
from pathlib import Path

# Where drop-platform is installed, or function.py was copied here, this is not needed.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from drop.function import function


@function(on_error="answer")
def summary(numbers: list) -> dict:
    return {"mean": statistics.mean(numbers), "median": statistics.median(numbers)}


if __name__ == "__main__":
    summary.run()
