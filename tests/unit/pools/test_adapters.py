"""Which command is started for a kind."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drop.adapters import lambda_program
from drop.flow.plan import Pool
from drop.pools.adapters import MODULES, command_of
from pools_tools import pool_of


@pytest.mark.parametrize("kind", ["line", "frame", "async", "stream", "exec"])
def test_a_kind_of_the_dataplane_is_the_functions_own_command(kind: str) -> None:
    assert command_of(_pool(kind), 1 << 20) == ("cat", "-u")


def test_a_runtime_of_lambda_is_behind_our_program() -> None:
    command = command_of(_pool("lambda", memory=64), 4096)
    assert command[0] == lambda_program()
    assert command[1:] == (
        *("--timeout-ms", "30000", "--payload-max", "4096", "--memory-mib", "64"),
        *("--", "cat", "-u"),
    )


def test_a_server_of_mcp_is_behind_a_program_in_python() -> None:
    pool = _pool("mcp")
    pool = replace(pool, mailbox=replace(pool.mailbox, timeout_ms=77))
    command = command_of(pool, 4096)
    assert command[0] == sys.executable
    assert Path(command[3]).is_file()
    assert Path(command[3]).is_relative_to(MODULES)
    assert command[4:] == ("mcp", "--timeout-ms", "77", "--payload-max", "4096", "--", "cat", "-u")


def _pool(kind: str, **keys: object) -> Pool:
    return pool_of(name="p", cmd=["cat", "-u"], kind=kind, **keys)
