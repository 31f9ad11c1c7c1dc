"""One worker at the other end, good and bad ones: real processes, real pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from drop.flow.spec import Function
from drop.packages import conversation as conversation_module
from drop.packages.conversation import Conversation, WorkerFault
from drop.packages.framing import Unframed, encode, take
from drop.workers.process import Command, Process, launch


def function(**values: Any) -> Function:
    return Function.model_validate({"name": "f", "cmd": ["-"], **values})


def start(program: str, *, shell: bool = True) -> Process:
    argv = ("sh", "-c", program) if shell else (sys.executable, "-u", "-c", program)
    return launch(Command(argv, None, {"PATH": os.environ["PATH"]}))


@contextmanager
def talk(program: str, **values: Any) -> Iterator[Conversation]:
    conversation = Conversation(start(program), function(**values), show_errors=False)
    try:
        yield conversation
    finally:
        conversation.close()
        assert conversation.ending is not None


def fault(program: str, *messages: bytes, **values: Any) -> str:
    """What is said of a worker that gets these messages and then the end of its input."""
    with talk(program, **values) as conversation, pytest.raises(WorkerFault) as error:
        _tell_all(conversation, messages)
    return str(error.value)


def _tell_all(conversation: Conversation, messages: Sequence[bytes]) -> None:
    for message in messages:
        conversation.ask(message)
    conversation.finish()


def wait_for_noise(conversation: Conversation) -> None:
    """Until the worker has said something that nobody asked for, which raises."""
    while True:
        conversation.check_silence()


CAT = "while IFS= read -r line; do printf '%s\\n' \"$line\"; done"


def test_lines() -> None:
    with talk(CAT) as conversation:
        assert conversation.ask(b"hello") == b"hello"
        assert conversation.ask(b"") == b""
        assert conversation.ask(b"x" * 300_000) == b"x" * 300_000
        conversation.finish()
    assert conversation.ending is not None
    assert conversation.ending.clean


def test_newlines() -> None:
    with talk(CAT, newline="ncm") as conversation:
        assert conversation.ask(b"a\nb") == b"a\nb"
    assert "cannot have a newline" in fault(CAT, b"a\nb")


def test_frames() -> None:
    with talk("exec cat", kind="frame") as conversation:
        for payload in (b"", b"a\nb\0", bytes(1 << 20)):
            assert conversation.ask(payload) == payload
        conversation.finish()


def test_tokens() -> None:
    with talk(CAT, kind="async") as conversation:
        assert conversation.ask(b"hello") == b"hello"
        assert conversation.ask(b"a::b") == b"a::b"
    text = fault("read -r x; echo 9::x; cat > /dev/null", b"m", kind="async")
    assert "the token b'9' in an answer; expected b'1'" in text
    assert "no token in b'plain'" in fault("read -r x; echo plain", b"m", kind="async")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("read -r x; exit 3", "the worker ended (exit code 3)"),
        ("read -r x; kill -9 $$", "the worker ended (killed by SIGKILL)"),
        ("read -r x; printf half; exit 0", "in the middle of b'half'"),
        ("read -r x; echo why >&2; exit 1", "stderr: why"),
        ("read -r x; echo a; echo b; cat > /dev/null", "it wrote more than 1 answers: b'b"),
        ("cat; echo more", "it wrote more than 1 answers: b'more"),
        ("read -r x; exec 1>&-; read -r y; sleep 60", "closed its stdout"),
        ("read -r x; read -r x; read -r x", "no answer to message 1 within 200 ms"),
        ("exec sleep 60", "does it flush its output"),
    ],
)
def test_what_a_line_worker_can_do_wrong(
    program: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_module, "STOP_SECONDS", 0.5)
    assert says in fault(program, b"m", timeout=200 if "200" in says or "flush" in says else 10_000)


def test_a_worker_that_talks_unasked() -> None:
    with talk("echo early; cat") as conversation:
        assert conversation.next_line(10.0) == b"early"  # so that it is certainly there
    with talk("echo early; echo more; cat") as conversation:
        conversation.next_line(10.0)
        with pytest.raises(WorkerFault, match="it wrote before its first message: b'more"):
            wait_for_noise(conversation)


def test_two_answers_are_found_at_the_next_message() -> None:
    with talk("while read -r x; do echo a; echo b; done") as conversation:
        conversation.ask(b"1")
        with pytest.raises(WorkerFault, match="more than one answer: b'b"):
            wait_for_noise(conversation)


def test_a_frame_that_cannot_be() -> None:
    text = fault("read -r x; echo hello; cat", b"m\n", kind="frame")
    assert "expected 4 bytes of length, big-endian, and the first 4 bytes are b'hell'" in text


def test_a_worker_that_never_reads() -> None:
    assert "no answer to message 1" in fault("exec sleep 60", b"x" * (1 << 20), timeout=200)


def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_module, "ANSWER_BYTES_MAX", 1 << 20)
    assert "more than 1048576 bytes" in fault("read -r x; exec cat /dev/zero", b"m")


def test_readiness() -> None:
    with talk("echo loading >&2; echo up 7; " + CAT, ready="up") as conversation:
        conversation.wait_until_ready("up", 10_000)
        assert conversation.ask(b"m") == b"m"
    for program, says in (
        ("echo down", "expected a line that begins with 'up', found b'down'"),
        ("exec sleep 60", "no line that begins with 'up' within 100 ms"),
        ("exit 4", "exit code 4"),
    ):
        with talk(program) as conversation, pytest.raises(WorkerFault) as error:
            conversation.wait_until_ready("up", 10_000 if "sleep" not in program else 100)
        assert says in str(error.value)


def test_exec() -> None:
    with talk("exec tr a-z A-Z", kind="exec") as conversation:
        assert conversation.whole(b"hello\n\0") == b"HELLO\n\0"
    with talk("exec wc -c", kind="exec") as conversation:
        assert conversation.whole(bytes(1 << 20)).strip() == b"1048576"
    with talk("echo done", kind="exec") as conversation:  # it need not read
        assert conversation.whole(bytes(1 << 20)) == b"done\n"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("echo out; echo err >&2; exit 3", "the function failed: exit code 3\n  stderr: err"),
        ("kill -15 $$", "killed by SIGTERM"),
        ("exec sleep 60", "no answer within 200 ms"),
    ],
)
def test_exec_that_fails(program: str, says: str) -> None:
    seconds = 200 if "sleep" in program else 10_000
    values: dict[str, Any] = {"kind": "exec", "timeout": seconds}
    with talk(program, **values) as conversation, pytest.raises(WorkerFault) as error:
        conversation.whole(b"x")
    assert says in str(error.value)


def test_a_flood_on_stderr_does_not_stop_it() -> None:
    with talk("read -r x; head -c 3000000 /dev/zero >&2; echo ok") as conversation:
        assert conversation.ask(b"m") == b"ok"


def test_children_are_ended_too(tmp_path: object) -> None:
    """A worker that leaves a child in its group behind."""
    with talk("sleep 60 & echo $!; cat") as conversation:
        child = int(conversation.next_line(10.0))
        os.kill(child, 0)
    with (
        open(f"/proc/{child}/stat")
        if os.path.exists(f"/proc/{child}")
        else open(os.devnull) as stat
    ):
        state = stat.read().rpartition(")")[2].split()
    assert state[:1] in ([], ["Z"])


def test_framing_refuses_what_it_cannot_carry() -> None:
    with pytest.raises(Unframed, match="kind async"):
        encode(b"a\nb", "async", token=b"1")
    assert encode(b"a\nb", "line", ncm=True) == b"a\tncm\tb\n"
    assert encode(b"a\nb", "exec") == b"a\nb"


@pytest.mark.parametrize("kind", ["line", "frame", "async"])
def test_framing_byte_by_byte(kind: Any) -> None:
    whole = encode(b"first", kind, token=b"1") + encode(b"second", kind, token=b"1")
    buffer, found = bytearray(), []
    for value in whole:
        buffer.append(value)
        if (answer := take(buffer, kind, token=b"1")) is not None:
            found.append(answer)
    assert found == [b"first", b"second"]
    assert not buffer
