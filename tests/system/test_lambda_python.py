"""A Python handler for AWS Lambda, as it is, run by Amazon's own runtime client."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from system.lambda_worker import LambdaWorker

pytest.importorskip("awslambdaric", reason="needs the package awslambdaric")
pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
HANDLER = """\
import logging
import os

logging.getLogger().setLevel(logging.INFO)


def handler(event, context):
    logging.info("called")
    if "raise" in event:
        raise LookupError(event["raise"])
    return {
        "event": event,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "request": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "trace": os.environ["_X_AMZN_TRACE_ID"],
    }


def size(event, context):
    return {"size": len(event), "event": event}
"""


def start(directory: Path, handler: str, *options: str) -> LambdaWorker:
    (directory / "app.py").write_text(HANDLER)
    command = [sys.executable, "-m", "awslambdaric", handler]
    return LambdaWorker(directory, command, options=options)


def call(worker: LambdaWorker, event: object) -> dict[str, object]:
    answer: dict[str, object] = json.loads(worker.call(json.dumps(event).encode()))
    return answer


def test_a_handler_gets_its_event_and_context(tmp_path: Path) -> None:
    with start(tmp_path, "app.handler", "--timeout-ms", "50000", "--memory-mib", "99") as worker:
        answers = [call(worker, {"number": number}) for number in range(5)]
        assert worker.end() == 0
        assert worker.log.count("called") == 5
        assert all(str(answer["request"]) in worker.log for answer in answers)
    assert [answer["event"] for answer in answers] == [{"number": number} for number in range(5)]
    assert len({str(answer["request"]) for answer in answers}) == 5
    for answer in answers:
        assert 0 < int(str(answer["remaining_ms"])) <= 50000
        assert answer["memory"] == "99"
        assert str(answer["trace"]).startswith("Root=1-")
        assert str(answer["arn"]).startswith("arn:aws:lambda:")


def test_an_exception_is_an_answer_like_that_of_invoke(tmp_path: Path) -> None:
    with start(tmp_path, "app.handler") as worker:
        told = call(worker, {"raise": 'no "such" thing'})
        assert told["errorMessage"] == 'no "such" thing'
        assert told["errorType"] == "LookupError"
        assert "in handler" in str(told["stackTrace"])
        assert call(worker, {})["event"] == {}
        assert "the invocation failed" in worker.log


def test_an_event_that_is_no_json_is_an_error(tmp_path: Path) -> None:
    with start(tmp_path, "app.handler") as worker:
        told = json.loads(worker.call(b"{"))
        assert told["errorType"] == "Runtime.UnmarshalError"
        assert call(worker, {})["event"] == {}


def test_six_mebibytes_and_more(tmp_path: Path) -> None:
    event = "x" * (16 << 20)
    with start(tmp_path, "app.size") as worker:
        assert call(worker, event) == {"size": len(event), "event": event}


def test_the_example(tmp_path: Path) -> None:
    (tmp_path / "late_lambda.py").write_text((EXAMPLES / "functions/late_lambda.py").read_text())
    command = [sys.executable, "-m", "awslambdaric", "late_lambda.handler"]
    with LambdaWorker(tmp_path, command) as worker:
        assert call(worker, {"flight": "UA1545", "arrival_delay": 31})["was"] == "late"
        assert call(worker, {"flight": "UA1545", "arrival_delay": -3})["was"] == "early"
        told = call(worker, {"flight": "UA1545", "arrival_delay": None})
        assert told["errorMessage"] == "flight UA1545 never arrived"


def test_a_handler_that_is_not_there(tmp_path: Path) -> None:
    with start(tmp_path, "app.absent") as worker:
        assert worker.wait() == 1
        assert "Handler 'absent' missing on module 'app'" in worker.log
        assert "Runtime.HandlerNotFound" in worker.log
