"""Every SDK keeps the contract of a function, whatever a handler does, however its bytes come."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from system.sdk import (
    BINARY,
    END_S_MAX,
    EVERY,
    NASTY,
    PYTHON,
    SHELL,
    Probe,
    Result,
    echoed,
    frames,
    given,
    lines,
    read_line,
    running,
    send,
)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return Probe(tmp_path_factory.mktemp("sdk"))


@pytest.mark.parametrize("sdk", EVERY)
def test_all_at_once(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(*NASTY))
    assert result.lines == echoed(NASTY)
    assert (result.status, result.stderr) == (0, "")


@pytest.mark.parametrize("sdk", EVERY)
def test_byte_by_byte(probe: Probe, sdk: str) -> None:
    with running(probe.command(sdk)) as process:
        for byte in lines(*NASTY):
            send(process, bytes([byte]))
        result = Result(process, None)
    assert result.lines == echoed(NASTY)


@pytest.mark.parametrize("sdk", EVERY)
def test_in_lockstep(probe: Probe, sdk: str) -> None:
    """As with `inflight: 1`: no answer waits for the next message."""
    with running(probe.command(sdk)) as process:
        for message in NASTY:
            send(process, message + b"\n")
            assert read_line(process) == b"=" + message
        assert Result(process, None).status == 0


@pytest.mark.parametrize("sdk", EVERY)
def test_big_messages_and_answers(probe: Probe, sdk: str) -> None:
    size = 100_000 if sdk in SHELL else 20_000_000  # a shell reads each byte with a system call
    big = b"y" * size
    result = given(probe.command(sdk), lines(b"a", big, b"big %d" % size, b"b"))
    assert [len(answer) for answer in result.lines] == [2, size + 1, size, 2]
    assert result.lines[1] == b"=" + big


@pytest.mark.parametrize("sdk", EVERY)
def test_many_messages(probe: Probe, sdk: str) -> None:
    messages = [b"%d" % number for number in range(2_000 if sdk in SHELL else 100_000)]
    assert given(probe.command(sdk), lines(*messages)).lines == echoed(messages)


@pytest.mark.parametrize("sdk", EVERY)
def test_what_is_printed_is_no_answer(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"noise", b"a"))
    assert result.lines == [b"quiet", b"=a"]
    assert result.stderr == "noise\nnoise\n"


@pytest.mark.parametrize("sdk", [*PYTHON, "c", *SHELL])
def test_a_child_eats_no_message(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"hungry", b"a", b"hungry", b"b"))
    assert result.lines == [b"fed", b"=a", b"fed", b"=b"]


@pytest.mark.parametrize("sdk", EVERY)
def test_a_failed_handler_leaves_no_answer(probe: Probe, sdk: str) -> None:
    """Nothing behind it is answered either: the node gives that to another worker."""
    result = given(probe.command(sdk), lines(b"a", b"b", b"fail", b"c"))
    assert result.lines == [b"=a", b"=b"]
    assert result.status == 1
    assert result.stderr


@pytest.mark.parametrize("sdk", EVERY)
def test_a_newline_in_an_answer_is_refused(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"a", b"newline", b"b"))
    assert result.lines == [b"=a"]
    assert result.status == 1
    assert "has a newline" in result.stderr


@pytest.mark.parametrize("sdk", EVERY)
def test_newlines_travel_where_the_flow_says_so(probe: Probe, sdk: str) -> None:
    messages = [b"newline", b"a\tncm\tb\tncm\t", b"\tncm\t", b"\tncm", b"ncm\t\t", b"c"]
    result = given(probe.command(sdk), lines(*messages), DROP_NEWLINE="ncm")
    assert result.lines == [b"a\tncm\tb", *echoed(messages[1:])]


@pytest.mark.parametrize("sdk", EVERY)
def test_half_a_message_is_none(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), b"a\nhalf")
    assert result.lines == [b"=a"]
    assert result.status == 1
    assert "stdin ended inside a message" in result.stderr


@pytest.mark.parametrize("sdk", EVERY)
def test_nothing_at_all(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), b"")
    assert (result.stdout, result.stderr, result.status) == (b"", "", 0)


@pytest.mark.parametrize("sdk", EVERY)
def test_messages_from_a_file(probe: Probe, sdk: str, tmp_path: Path) -> None:
    file = tmp_path / "messages"
    file.write_bytes(lines(b"a", b"b"))
    with file.open() as stdin:
        done = subprocess.run(probe.command(sdk), stdin=stdin, capture_output=True, check=True)
    assert done.stdout == b"=a\n=b\n"


@pytest.mark.parametrize("sdk", EVERY)
def test_sigterm_ends_one_that_waits(probe: Probe, sdk: str) -> None:
    with running(probe.command(sdk)) as process:
        send(process, b"a\n")
        assert read_line(process) == b"=a"
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S_MAX) == 0
        assert Result(process, None).stdout == b""


@pytest.mark.parametrize("sdk", EVERY)
def test_sigterm_comes_behind_what_was_read(probe: Probe, sdk: str) -> None:
    """Its stdin stays open all the time."""
    with running(probe.command(sdk)) as process:
        send(process, lines(b"a", b"term", b"b"))
        assert process.wait(END_S_MAX) == 0
        answers = Result(process, None).lines
    expected = echoed([b"a", b"term", b"b"])
    assert answers == (expected[:2] if sdk in SHELL else expected)


@pytest.mark.parametrize("sdk", EVERY)
def test_it_ends_quietly_when_nobody_reads(probe: Probe, sdk: str) -> None:
    with running(probe.command(sdk)) as process:
        assert process.stdout is not None
        process.stdout.close()
        send(process, b"a\n")
        assert process.wait(END_S_MAX) in (0, -signal.SIGPIPE)
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("sdk", EVERY)
def test_it_says_that_it_is_ready(probe: Probe, sdk: str) -> None:
    options = {"python": ["ready=here I am"], "node": ['{"say":"here I am"}']}
    command = probe.command(sdk, *options.get(sdk.removesuffix("-async"), []))
    with running(command, SAY="here I am") as process:
        assert read_line(process) == b"here I am"
        send(process, b"a\n")
        assert read_line(process) == b"=a"


@pytest.mark.parametrize("sdk", EVERY)
def test_a_kind_that_it_does_not_speak(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), b"a\n", DROP_KIND="mcp")
    assert result.stdout == b""
    assert result.status == 1
    assert "line" in result.stderr


@pytest.mark.parametrize("sdk", EVERY)
def test_tokens(probe: Probe, sdk: str) -> None:
    """The first `::` ends the token; the rest is the message's own."""
    messages = [b"1::a", b"2::", b"x y::b::c", b"::d", b"3::\xff"]
    result = given(probe.command(sdk), lines(*messages), DROP_KIND="async")
    expected = [b"1::=a", b"2::=", b"x y::=b::c", b"::=d", b"3::=\xff"]
    assert sorted(result.lines) == sorted(expected)


@pytest.mark.parametrize("sdk", EVERY)
def test_a_message_without_a_token(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"1::a", b"2:a", b"3::b"), DROP_KIND="async")
    assert result.lines in ([b"1::=a"], [b"1::=a", b"3::=b"])  # tasks end what they have begun
    assert result.status == 1
    assert "without TOKEN::" in result.stderr


@pytest.mark.parametrize("sdk", BINARY)
def test_frames_whole_and_byte_by_byte(probe: Probe, sdk: str) -> None:
    messages = [*NASTY, b"\0", b"a\nb\n", b"newline", bytes(range(256)), b"z" * 70_000]
    expected = [b"a\nb" if message == b"newline" else b"=" + message for message in messages]
    assert given(probe.command(sdk), frames(*messages), DROP_KIND="frame").frames == expected
    with running(probe.command(sdk), DROP_KIND="frame") as process:
        for byte in frames(*messages[:-1]):
            send(process, bytes([byte]))
        assert Result(process, None).frames == expected[:-1]


@pytest.mark.parametrize("sdk", BINARY)
def test_big_frames(probe: Probe, sdk: str) -> None:
    big = bytes(20_000_000)
    result = given(probe.command(sdk), frames(big, b"a", b"big 20000000"), DROP_KIND="frame")
    assert result.frames == [b"=" + big, b"=a", b"x" * 20_000_000]


@pytest.mark.parametrize("sdk", BINARY)
def test_half_a_frame_and_a_length_that_is_none(probe: Probe, sdk: str) -> None:
    half = given(probe.command(sdk), frames(b"a") + b"\0\0\0\5half", DROP_KIND="frame")
    assert (half.frames, half.status) == ([b"=a"], 1)
    huge = given(probe.command(sdk), frames(b"a") + b"\xff\xff\xff\xff", DROP_KIND="frame")
    assert (huge.frames, huge.status) == ([b"=a"], 1)
    assert "a message" in huge.stderr


@pytest.mark.parametrize("sdk", BINARY)
def test_nul_bytes_in_lines(probe: Probe, sdk: str) -> None:
    assert given(probe.command(sdk), b"\0\na\0b\n").lines == [b"=\0", b"=a\0b"]


# ---- handlers that wait


@pytest.mark.parametrize("sdk", ["python-async", "node-async"])
def test_answers_of_tasks_are_in_order(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"hold", b"a", b"release", b"b"))
    assert result.lines == echoed([b"hold", b"a", b"release", b"b"])


@pytest.mark.parametrize("sdk", ["python-async", "node-async"])
def test_answers_with_tokens_come_when_they_are_done(probe: Probe, sdk: str) -> None:
    with running(probe.command(sdk), DROP_KIND="async") as process:
        send(process, lines(b"1::hold", b"2::a"))
        assert read_line(process) == b"2::=a"
        send(process, b"3::release\n")
        assert sorted(Result(process, None).lines) == [b"1::=hold", b"3::=release"]


@pytest.mark.parametrize("sdk", ["python-async", "node-async"])
def test_no_more_tasks_than_asked_for(probe: Probe, sdk: str) -> None:
    bound = {"python-async": "concurrency=3", "node-async": '{"concurrency":3}'}[sdk]
    result = given(probe.command(sdk, bound), lines(*[b"a"] * 50, b"peak"))
    assert result.lines == [b"=a"] * 50 + [b"3"]


@pytest.mark.parametrize("sdk", ["python-async", "node-async"])
def test_a_failed_task_waits_for_earlier_ones(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"hold", b"fail", b"release", b"b"))
    assert result.lines == [b"=hold"]
    assert result.status == 1


@pytest.mark.parametrize("sdk", ["python-async", "node-async"])
def test_a_failed_task_lets_others_end(probe: Probe, sdk: str) -> None:
    messages = lines(b"1::hold", b"2::fail", b"3::release")
    result = given(probe.command(sdk), messages, DROP_KIND="async")
    assert sorted(result.lines) == [b"1::=hold", b"3::=release"]
    assert result.status == 1
