"""Starts an adapter by its path: `python -I -S .../drop/adapters/run.py mcp -- COMMAND`.

Isolated, since the worker's directory and environment are the function's: a `json.py` that lies
there must not become ours. Without site-packages, which nothing here needs and which take most of
the time that an interpreter takes to start.
"""

import os
import sys
from importlib import import_module

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    sys.exit(import_module(f"drop.adapters.{sys.argv[1]}").main(sys.argv[2:]))
