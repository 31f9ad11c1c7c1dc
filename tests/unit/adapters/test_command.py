"""The commands of adapters, and that they are commands: each is started once."""

from __future__ import annotations

import subprocess

import pytest

from drop.adapters.command import LAMBDA_READY, adapted


def command(kind: str, *argv: str, memory_mib: int | None = None) -> tuple[str, ...]:
    return adapted(kind, argv, timeout_ms=30_000, payload_max=1 << 20, memory_mib=memory_mib)


@pytest.mark.parametrize("kind", ["line", "frame", "async", "stream", "exec"])
def test_ordinary_kinds_start_their_program(kind: str) -> None:
    assert command(kind, "cat", "-u") == ("cat", "-u")


def test_the_program_is_behind_the_adapter() -> None:
    for kind in ("lambda", "mcp"):
        adapter = command(kind, "prog", "--timeout-ms", "7", "--")
        assert adapter[-5:] == ("--", "prog", "--timeout-ms", "7", "--")
        assert adapter[0].startswith("/")


def test_memory_is_told_where_there_is_a_limit() -> None:
    assert "--memory-mib" not in command("lambda", "prog")
    with_limit = command("lambda", "prog", memory_mib=256)
    assert with_limit[with_limit.index("--memory-mib") + 1] == "256"


def test_a_worker_of_kind_lambda_starts() -> None:
    script = 'printf "%s" "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE $_HANDLER" >&2; exit 9'
    argv = command("lambda", "sh", "-c", script, memory_mib=99)
    assert LAMBDA_READY not in argv
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.read().startswith(f"99 {script}".encode())
        assert process.wait(30) == 9


def test_a_worker_of_kind_lambda_can_tell_when_it_is_ready() -> None:
    argv = adapted("lambda", ("x",), timeout_ms=1, payload_max=1, tells_ready=True)
    assert argv[argv.index("--ready") + 1] == LAMBDA_READY


def test_a_worker_of_kind_mcp_starts() -> None:
    argv = command("mcp", "no-such-program")
    done = subprocess.run(argv, input=b"1::{\n", capture_output=True, check=False, timeout=30)
    assert done.returncode == 0
    assert done.stdout.startswith(b'1::{"jsonrpc":"2.0","id":null,"error":{"code": -32700')
