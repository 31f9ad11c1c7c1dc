"""Programs that run as workers in front of programs with a contract of their own.

An adapter is to the dataplane a worker of an ordinary kind. These here are written in Python and
need nothing but the standard library; `drop-lambda` (c_src/lambda.h) is one in C.
"""

from __future__ import annotations

PACKAGE = __file__.rpartition("/adapters/")[0]
"""The directory of `drop` itself."""


def lambda_program() -> str:
    """Where the build puts drop-lambda."""
    return f"{PACKAGE}/_fast/drop-lambda"
