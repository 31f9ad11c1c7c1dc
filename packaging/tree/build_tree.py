"""Makes a self-contained tree: `build --output DIR [--client] [--cache DIR] [--refresh]`.

What was compiled once stays in the cache, by the digest of what it was made from; a build that was
broken off goes on where it stopped. Exit codes: 0 made and checked; 1 not; 2 the command line.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import check_tree
import components
import crosstools
import own_wheel
from assemble import CLIENT, NODE, assemble
from components import Workbench
from crosstools import Toolchain
from debian_source import Sources
from faults import BuildFault
from interpreter import CPYTHON

TABLE = {**components.TABLE, CPYTHON.name: CPYTHON}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="build", description="Build DROP and its interpreter as one tree for old systems."
    )
    parser.add_argument("--output", metavar="DIR", type=Path, required=True)
    parser.add_argument("--client", action="store_true", help="the command line alone")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, default=own_wheel.ROOT / "build" / "tree"
    )
    parser.add_argument(
        "--refresh", action="store_true", help="look for newer Debian sources (security updates)"
    )
    arguments = parser.parse_args()
    os.umask(0o022)
    try:
        build(arguments.output, arguments.cache, client=arguments.client, refresh=arguments.refresh)
    except BuildFault as fault:
        print(f"build: {fault}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def held(cache: Path) -> Iterator[None]:
    """Lets one build at a time use the cache; others wait for it."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def workbench(cache: Path, sources: Sources, chain: Toolchain) -> Workbench:
    """One that can build everything that a tree is made of."""
    return Workbench(cache, sources, chain, TABLE)


def build(output: Path, cache: Path, *, client: bool, refresh: bool) -> None:
    """Makes the tree, checks it, and puts it in the place of the one there; raises BuildFault."""
    output, cache = output.resolve(), cache.resolve()
    if output.exists() and not (output / "VERSION").exists() and any(output.iterdir()):
        raise BuildFault(f"{output}: exists and is no tree; name another directory, or empty it")
    fresh = output.with_name(f".{output.name}.new")
    with held(cache):
        chain = crosstools.prepare(cache)
        bench = workbench(cache, Sources(cache / "sources", refresh=refresh), chain)
        wheel = own_wheel.bring(cache, chain, bench.bring(CPYTHON.name))
        shutil.rmtree(fresh, ignore_errors=True)
        assemble(fresh, CLIENT if client else NODE, bench.built, wheel)
    _, faults = check_tree.check(fresh, [str(cache), str(fresh)])
    if faults:
        listed = "\n".join(faults)
        raise BuildFault(f"{fresh} would not run everywhere:\n{listed}")
    if output.exists():
        shutil.rmtree(output)
    fresh.rename(output)
    print(f"{output}: made and checked")
