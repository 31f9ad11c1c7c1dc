"""Builds native.c, as a library to be called and as a program to be run under callgrind."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

from bench.build import program

BEACONS = ("beacons", "beacons-floor", "beacons-forged", "beacons-foreign", "beacons-replayed")
FRAMES = ("frames", "frames-floor", "packets", "lines-checked", "log-lines", "log-lines-floor")
CASES = (*FRAMES, *BEACONS)
# Bytes of a message in the cases where it is not 100.
PAYLOAD = {"packets": 176, **dict.fromkeys(BEACONS, 130)}
SOURCES = (
    "bench/micro/native.c",
    "bench/micro/beacons.c",
    *(f"c_src/{name}.c" for name in ("frame", "line", "logline")),
    *(f"c_src/{name}.c" for name in ("blake2s", "beacon", "peers", "peertable")),
)


def executable() -> Path:
    return program("native", SOURCES)


def runner() -> Callable[[str, int], int]:
    """run(case, messages): the payload bytes that the case has seen."""
    library = ctypes.CDLL(str(program("native.so", SOURCES, "-shared", "-fPIC")))
    library.bench_run.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
    library.bench_run.restype = ctypes.c_uint64
    return lambda case, messages: int(library.bench_run(case.encode(), messages))
