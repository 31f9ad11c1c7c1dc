"""The adapter of kind mcp as a process, with a small server behind it."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from system.mcp_worker import SMALL_SERVER, McpWorker

pytestmark = pytest.mark.system

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def test_the_first_client_initializes_and_later_ones_get_the_same(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        first = worker.initialize("2025-06-18", sampling={})
        second = worker.initialize("2024-11-05")
        assert first["result"] == second["result"]
        assert first["result"]["protocolVersion"] == "2025-06-18"
        assert first["result"]["capabilities"]["tools"] == {"listChanged": False}
        assert first["result"]["capabilities"]["resources"]["subscribe"] is False
        worker.tell("notifications/initialized")
        told = worker.call("told")["result"]["initialize"]
        assert told["capabilities"] == {}  # sampling is nothing that a pool can carry
        assert told["clientInfo"] == {"name": "test", "version": "1"}
        assert worker.end() == 0
        assert worker.log == "notifications/initialized None\n"


def test_a_request_without_initialize_is_served(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        told = worker.call("told")["result"]["initialize"]
        assert told["clientInfo"]["name"] == "drop"
        assert worker.initialize()["result"]["protocolVersion"] == told["protocolVersion"]


@pytest.mark.parametrize("identity", [b"1", b'"1"', b"-7", b'"\\u00e4 :: b"', b"0", b'""'])
def test_ids_come_back_as_they_were_written(tmp_path: Path, identity: bytes) -> None:
    numbers = b'{ "big" : 1.10, "e":1e400, "a":[ 12345678901234567890.5 ] }'
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        worker.send(b'{"jsonrpc":"2.0", "id" :%b,"method":"told", "params":%b}' % (identity, b"{}"))
        line = worker.stdout.readline()
        assert b'"id": %b,' % identity in line
        worker.send(b'{"jsonrpc":"2.0","method":"custom","id":1,"params":%b}' % numbers)
        assert worker.receive()[1]["result"] == {}


def test_many_requests_at_once_with_equal_ids(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        request = {"jsonrpc": "2.0", "id": 1, "method": "told"}
        sent = [worker.send({**request, "params": {"n": n}}, f"c{n % 2}") for n in range(100)]
        answers = dict(worker.receive() for _ in sent)
    for number, token in enumerate(sent):
        assert answers[token]["id"] == 1
        assert answers[token]["result"]["params"] == {"n": number}


def test_bad_messages_are_answered(tmp_path: Path) -> None:
    cases = {
        b"{": -32700,
        b"": -32700,
        b"\xff": -32700,
        b"[1]": -32600,
        b'{"id":1}': -32600,
        b'{"id":null,"method":"x"}': -32600,
        b'{"id":1.5,"method":"x"}': -32600,
        b'{"id":1,"id":2,"method":"x"}': -32700,
        b'{"id":1,"method":"x"} x': -32700,
        b'{"id":1,"method":5}': -32600,
        b'{"id":1,"method":"resources/subscribe"}': -32601,
    }
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        for message, code in cases.items():
            worker.send(message)
            assert worker.receive()[1]["error"]["code"] == code, message
        worker.send(b'{"id":"x","result":{}}')
        assert worker.receive()[1] is None


def test_what_a_server_says_by_itself(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        told = worker.call("ask")["result"]
        assert told["ping"]["result"] == {}
        assert told["sampling"]["error"]["code"] == -32601
        assert worker.call("noise")["result"] == {}
        assert worker.end() == 0
        assert "this is no message" in worker.log
        assert "info: heard" in worker.log
        assert "notifications/tools/list_changed" in worker.log
        assert "progress" not in worker.log


def test_a_server_that_dies_is_started_again_and_initialized(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        worker.initialize()
        before = worker.call("told")["result"]
        answer = worker.call("die")
        assert answer["error"]["code"] == -32000
        assert "exit code 9" in answer["error"]["message"]
        after = worker.call("told")["result"]
        assert after["pid"] != before["pid"]
        assert after["initialize"] == before["initialize"]


def test_too_many_deaths_end_the_adapter(tmp_path: Path) -> None:
    with McpWorker(tmp_path, [sys.executable, "-c", "raise SystemExit(4)"]) as worker:
        token = worker.send({"jsonrpc": "2.0", "id": 5, "method": "told"})
        answered, answer = worker.receive()
        assert (answered, answer["id"]) == (token, 5)
        assert worker.process.wait(30) == 1
        assert "6 times in a row" in worker.log


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with McpWorker(tmp_path, ["./no-such-program"]) as worker:
        said = "the MCP server cannot be started: ./no-such-program: No such file or directory"
        assert worker.call("x")["error"]["message"] == said
        assert worker.process.wait(30) == 1
        assert f"{said}; giving up" in worker.log


def test_a_request_without_an_answer_ends_before_the_pool_gives_up(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER, timeout_ms=1000) as worker:
        worker.initialize()
        answer = worker.call("silence", identity="s")
        assert (answer["id"], answer["error"]["code"]) == ("s", -32001)
        assert worker.call("told")["result"]["pid"] > 0
        assert worker.end() == 0
        assert "notifications/cancelled {'requestId': 2, 'reason': 'timeout'}" in worker.log


def test_cancelling_is_for_the_client_that_asks(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        worker.initialize()
        request = {"jsonrpc": "2.0", "id": 3, "method": "silence"}
        one, other = worker.send(request, "one"), worker.send(request, "other")
        cancel = {"method": "notifications/cancelled", "params": {"requestId": 3, "reason": "why"}}
        notice = worker.send(cancel, "other")
        answers = dict(worker.receive() for _ in range(2))
        assert answers[notice] is None
        assert answers[other]["error"]["code"] == -32800
        assert one not in answers
        worker.call("told")
        assert "{'requestId': 3, 'reason': 'why'}" in worker.log


def test_a_modern_client_and_an_older_server(tmp_path: Path) -> None:
    for command in (SMALL_SERVER, (*SMALL_SERVER, "--dies")):
        with McpWorker(tmp_path, command) as worker:
            worker.initialize()
            first = worker.call("server/discover", _meta=MODERN)["error"]["code"]
            assert first in (-32602, -32000)
            assert worker.call("server/discover", _meta=MODERN)["error"]["code"] == -32601
            assert worker.call("told")["result"]["pid"] > 0


def test_no_server_outlives_its_adapter(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        pidfd = os.pidfd_open(worker.call("told")["result"]["pid"])
        worker.process.kill()
        assert select.select([pidfd], [], [], 30)[0]
        os.close(pidfd)


def test_sigterm_ends_both(tmp_path: Path) -> None:
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        pidfd = os.pidfd_open(worker.call("told")["result"]["pid"])
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0
        assert select.select([pidfd], [], [], 30)[0]
        os.close(pidfd)


def test_large_messages(tmp_path: Path) -> None:
    text = "ä" * (2 << 20)
    with McpWorker(tmp_path, SMALL_SERVER) as worker:
        assert worker.call("told", text=text)["result"]["params"] == {"text": text}


def test_a_module_of_the_function_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken')\n")
    with McpWorker(tmp_path, [sys.executable, "-I", *SMALL_SERVER[1:]]) as worker:
        assert json.loads(json.dumps(worker.call("told")))["result"]["pid"] > 0
