"""Loads the modules of packaging/tree, which are programs' parts and no installed package."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "packaging" / "tree"


def load(name: str) -> ModuleType:
    """One of them by its name; they find each other as they do when started from there."""
    sys.path.insert(0, str(TREE))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(TREE))
