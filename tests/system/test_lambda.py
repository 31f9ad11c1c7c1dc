"""drop-lambda as a process: what its runtime is told, ends of every kind, limits, who may connect.

The peer is a runtime by the standard library, and one of curl in a shell.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from drop.client import Client
from drop.errors import FunctionError
from node_tools import StartNode, flow
from system.lambda_worker import PROGRAM, RUNTIME, LambdaWorker

pytestmark = pytest.mark.system

# As in the tutorial of AWS, but for the handler, which is in the same file.
BOOTSTRAP = """\
#!/bin/sh
set -eu
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -LD "$HEADERS" "$API/invocation/next")
  ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  rm -f "$HEADERS"
  RESPONSE="Echoing request: '$EVENT'"
  curl -sS -o /dev/null "$API/invocation/$ID/response" -d "$RESPONSE"
done
"""


def test_events_become_responses_in_order(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        events = [b"event %d" % number for number in range(50)]
        worker.send(*events)
        assert [worker.receive() for _ in events] == events
        assert worker.call(b"") == b""
        assert worker.end() == 0
        assert worker.log == ""


def test_the_environment_is_that_of_a_function(tmp_path: Path) -> None:
    with LambdaWorker(
        tmp_path,
        options=("--memory-mib", "77"),
        environment={"DROP_POOL": "my/pool", "_HANDLER": "a.b", "AWS_REGION": "eu-north-1"},
    ) as worker:
        told = json.loads(worker.call(b"environment"))
    assert told["AWS_LAMBDA_FUNCTION_NAME"] == "my/pool"
    assert told["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert told["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "77"
    assert told["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/my/pool"
    assert "[$LATEST]" in told["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert told["_HANDLER"] == "a.b"
    assert told["AWS_REGION"] == told["AWS_DEFAULT_REGION"] == "eu-north-1"
    assert told["LAMBDA_TASK_ROOT"] == str(tmp_path)
    assert told["AWS_LAMBDA_RUNTIME_API"].startswith("127.0.0.1:")


def test_each_worker_has_an_endpoint_of_its_own(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as one, LambdaWorker(tmp_path) as other:
        apis = {
            json.loads(worker.call(b"environment"))["AWS_LAMBDA_RUNTIME_API"]
            for worker in (one, other)
        }
    assert len(apis) == 2


def test_the_headers_of_an_invocation(tmp_path: Path) -> None:
    with LambdaWorker(
        tmp_path, options=("--timeout-ms", "86400000"), environment={"DROP_POOL": "p"}
    ) as worker:
        first, second = (json.loads(worker.call(b"headers")) for _ in range(2))
    assert first["Content-Type"] == "application/json"
    arn = "arn:aws:lambda:us-east-1:000000000000:function:p"
    assert first["Lambda-Runtime-Invoked-Function-Arn"] == arn
    assert first["Lambda-Runtime-Trace-Id"].startswith("Root=1-")
    assert len(first["Lambda-Runtime-Aws-Request-Id"]) == 36
    assert first["Lambda-Runtime-Aws-Request-Id"] != second["Lambda-Runtime-Aws-Request-Id"]
    day_ms = 86_400_000
    modified_ms = int((tmp_path / "stderr").stat().st_mtime * 1000)
    assert 0 <= int(first["Lambda-Runtime-Deadline-Ms"]) - day_ms - modified_ms < day_ms


def test_what_is_printed_is_log(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        assert worker.call(b"print") == b""
        assert worker.end() == 0
        assert worker.log == "printed to stdout\n"


def test_large_payloads_go_both_ways(tmp_path: Path) -> None:
    event = os.urandom(1 << 20) * 24
    with LambdaWorker(tmp_path) as worker:
        assert worker.call(event) == event
        assert worker.call(b"chunks") == b"one two three"


def test_a_second_answer_is_refused(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        assert worker.call(b"twice") == b"first"
        repeated, wrong = json.loads(worker.call(b"tell"))
    assert repeated[1] == 403
    assert json.loads(repeated[0])["errorType"] == "InvalidStateTransition"
    assert wrong[1] == 400
    assert json.loads(wrong[0])["errorType"] == "InvalidRequestID"


def test_limits_of_payloads(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path, options=("--payload-max", "1000")) as worker:
        assert worker.call(b"x" * 1000) == b"x" * 1000
        told = json.loads(worker.call(b"x" * 1001))
        assert told["errorType"] == "RequestEntityTooLarge"
        told = json.loads(worker.call(b"environment"))  # its response is larger
        assert told["errorType"] == "Function.ResponseSizeTooLarge"
        assert worker.call(b"next") == b"next"


@pytest.mark.parametrize(
    ("event", "code", "said"),
    [
        (b"end", 3, "ended with exit code 3"),
        (b"kill", 137, "was ended by signal 9"),
    ],
)
def test_the_end_of_the_runtime_is_the_end_of_the_worker(
    tmp_path: Path, event: bytes, code: int, said: str
) -> None:
    with LambdaWorker(tmp_path) as worker:
        worker.send(event)
        assert worker.stdout.read() == b""
        assert worker.wait() == code
        assert said in worker.log
        assert "the invocation was not answered" in worker.log


def test_an_answer_that_was_given_at_the_end_counts(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        assert worker.call(b"last") == b"the last words"
        assert worker.wait() == 1


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path, ["./no-such-program"]) as worker:
        assert worker.wait() == 127
        assert "cannot execute ./no-such-program: No such file" in worker.log


def test_an_init_error_is_logged_and_ends_the_worker(tmp_path: Path) -> None:
    report = '{"errorMessage": "no \\"x\\""}'
    with LambdaWorker(tmp_path, [sys.executable, str(RUNTIME), report]) as worker:
        worker.send(b"waits")
        assert worker.stdout.read() == b""
        assert worker.wait() == 1
        assert "the runtime could not initialize" in worker.log
        assert "errorMessage" in worker.log


def test_a_stubborn_runtime_is_killed(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path, options=("--grace-ms", "50")) as worker:
        assert worker.call(b"stubborn") == b""
        assert worker.end() == 0
        assert "did not end after SIGTERM" in worker.log


def wait_for_end(pidfd: int) -> bool:
    """Whether the process ends within the time that a test may take."""
    return bool(select.select([pidfd], [], [], 30)[0])


def test_no_runtime_outlives_its_worker(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        pidfd = os.pidfd_open(int(worker.call(b"pid")))
        worker.send(b"hang")
        worker.process.kill()
        assert wait_for_end(pidfd)
        os.close(pidfd)


def test_sigterm_ends_both(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        pidfd = os.pidfd_open(int(worker.call(b"pid")))
        worker.send(b"hang")
        worker.process.terminate()
        assert worker.wait() == 0
        assert wait_for_end(pidfd)
        os.close(pidfd)


def test_the_ready_line_comes_when_the_runtime_asks(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path, options=("--ready", "here I am")) as worker:
        assert worker.stdout.readline() == b"here I am\n"
        assert worker.call(b"x") == b"x"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command"),
        (["--"], "no command"),
        (["--timeout-ms", "0", "--", "x"], "--timeout-ms 0: expected a whole number"),
        (["--timeout-ms"], "no value for --timeout-ms"),
        (["--colour", "x", "--", "x"], "not understood: --colour"),
    ],
)
def test_a_wrong_command_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "usage: drop-lambda" in done.stderr or "expected" in done.stderr


def asked_by(user: int, api: str) -> bytes:
    """What a process of another user gets from the endpoint."""
    host, port = api.split(":")
    program = (
        "import encodings.idna, os, socket, sys\n"  # before the files are out of reach
        f"os.setuid({user})\n"
        f"with socket.create_connection(({host!r}, {port})) as peer:\n"
        "    try:\n"
        "        peer.sendall(b'GET /x HTTP/1.1\\r\\n\\r\\n')\n"
        "        sys.stdout.buffer.write(peer.recv(100))\n"
        "    except ConnectionError:\n"
        "        pass\n"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_other_users_are_not_let_in(tmp_path: Path) -> None:
    with LambdaWorker(tmp_path) as worker:
        api = json.loads(worker.call(b"environment"))["AWS_LAMBDA_RUNTIME_API"]
        assert asked_by(0, api).startswith(b"HTTP/1.1 404 ")
        assert asked_by(65534, api) == b""
        assert "refused a connection of another user" in worker.log


def test_the_kind_on_a_node(start_node: StartNode) -> None:
    """Calls, a runtime that dies under one, and its successor."""
    command = [sys.executable, str(RUNTIME)]
    # Uncontained: the interpreter of the tests may lie where a worker may not look.
    uncontained = {"contain": "off"} | ({"user": "root"} if os.geteuid() == 0 else {})
    node = start_node(flow("aws", {"name": "f", "kind": "lambda", "cmd": command} | uncontained))
    with Client(node.socket_address) as client:
        assert client.call("f", b"hello") == b"hello"
        told = json.loads(client.call("f", b"environment"))
        assert told["AWS_LAMBDA_FUNCTION_NAME"] == "f"
        with pytest.raises(FunctionError):
            client.call("f", b"end")
        assert client.call("f", b"again") == b"again"


def test_more_connections_than_there_are_places(tmp_path: Path) -> None:
    """Idle ones fill the table; the runtime has its own, so calls go on."""
    with LambdaWorker(tmp_path) as worker:
        api = json.loads(worker.call(b"environment"))["AWS_LAMBDA_RUNTIME_API"]
        host, port = api.split(":")
        crowd = [socket.create_connection((host, int(port))) for _ in range(80)]
        assert worker.call(b"still here") == b"still here"
        for each in crowd:
            each.close()
        with socket.create_connection((host, int(port))) as late:
            late.sendall(b"GET /x HTTP/1.1\r\n\r\n")
            assert late.recv(12) == b"HTTP/1.1 404"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_bootstrap_of_the_shell(tmp_path: Path) -> None:
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(BOOTSTRAP)
    bootstrap.chmod(0o755)
    with LambdaWorker(tmp_path, ["./bootstrap"]) as worker:
        assert worker.call(b'{"a": 1}') == b"Echoing request: '{\"a\": 1}'"
        assert worker.call(b"2") == b"Echoing request: '2'"
        assert worker.end() == 0
