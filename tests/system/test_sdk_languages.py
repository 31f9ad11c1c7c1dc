"""What only one of the SDKs can do, and their examples."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from drop.client import Client
from drop.errors import FunctionError
from node_tools import StartNode, flow
from system.gate import Gate
from system.sdk import (
    END_S_MAX,
    NASTY,
    NODE,
    PROGRAMS,
    PYTHON,
    ROOT,
    SHELL,
    WARNINGS,
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

FULL_MS = 500  # a pipe that had no room for so long is full
ANSWERS_UNREAD_MAX = 4 << 20  # bytes; two pipes, and what Node.js reads and writes at a time


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return Probe(tmp_path_factory.mktemp("sdk"))


# ---- Python


@pytest.mark.parametrize("sdk", PYTHON)
def test_python_errors_as_answers(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk, "on_error=answer"), lines(b"a", b"fail", b"newline", b"b"))
    assert result.lines[:2] == [b"=a", b'{"error":"ValueError: asked to fail"}']
    assert json.loads(result.lines[2])["error"].startswith("ValueError: the answer to b'newline'")
    assert (result.lines[3:], result.status) == ([b"=b"], 0)
    assert result.stderr.count("Traceback") == 2


@pytest.mark.parametrize("sdk", PYTHON)
def test_python_errors_as_the_function_wants_them(probe: Probe, sdk: str) -> None:
    result = given(
        probe.command(sdk, "on_error=blame"), lines(b"1::fail", b"2::a"), DROP_KIND="async"
    )
    assert sorted(result.lines) == [b"1::fail because asked to fail", b"2::=a"]


@pytest.mark.parametrize("sdk", PYTHON)
def test_python_leaves_with_the_answers_so_far(probe: Probe, sdk: str) -> None:
    result = given(probe.command(sdk), lines(b"a", b"leave", b"b"))
    assert (result.lines, result.status) == ([b"=a"], 7)


def test_python_writes_answers_that_would_wait(probe: Probe, tmp_path: Path) -> None:
    """Here after every handler: the first answer comes while the second one is being made."""
    gate = Gate(tmp_path / "gate")
    message = b"gate %s" % os.fsencode(tmp_path / "gate")
    with running(probe.command("python", "hold=-1")) as process:
        send(process, lines(b"a", message))
        assert read_line(process) == b"=a"
        gate.pass_one()
        assert read_line(process) == b"=" + message


def test_python_text_and_json(probe: Probe) -> None:
    def command(handler: str) -> list[str]:
        return [sys.executable, str(PROGRAMS / "sdk_probe.py"), handler]

    messages = [b"a", b"", b"\xff\xfe", "é".encode()]
    assert given(command("text"), lines(*messages)).lines == echoed(messages)
    result = given(command("json"), lines(b'{"a": "\\ud800"}', b"{", b"{}"))
    assert (result.lines, result.status) == ([b'[{"a":"\\ud800"}]'], 1)


def test_python_exec_takes_all_of_stdin(probe: Probe) -> None:
    for sdk in PYTHON:
        result = given(probe.command(sdk), b"a\nb\n", DROP_KIND="exec")
        assert (result.stdout, result.status) == (b"=a\nb\n", 0)
        failed = given(probe.command(sdk), b"fail", DROP_KIND="exec")
        assert (failed.stdout, failed.status) == (b"", 1)
        with running(probe.command(sdk, "ready=up"), DROP_KIND="exec") as process:
            assert read_line(process) == b"up"
            send(process, b"half")
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S_MAX) != 0
            assert Result(process, None).stdout == b""


STREAMS = {
    "loop": "emit(b'a'); emit('b', {'c': 1}); emit()",
    "generator": "run(lambda: iter([b'a', 'b', {'c': 1}]), kind='stream')",
    "function": "run(lambda: print('no event') or emit(b'a', 'b', {'c': 1}), kind='stream')",
    "async": "async def main(): emit(b'a', 'b', {'c': 1})\nrun(main, kind='stream')",
}


@pytest.mark.parametrize("program", STREAMS)
def test_python_stream(program: str) -> None:
    command = [sys.executable, "-c", f"from drop.function import emit, run\n{STREAMS[program]}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b'a\nb\n{"c":1}\n'


def test_python_stream_ends_at_sigterm_and_when_nobody_reads() -> None:
    endless = "from drop.function import run\nimport itertools\nrun(itertools.count, kind='stream')"
    with running([sys.executable, "-c", endless], PYTHONPATH=str(ROOT)) as process:
        assert read_line(process) == b"0"
        process.send_signal(signal.SIGTERM)
        assert Result(process, None).status == 0
    with running([sys.executable, "-c", endless], PYTHONPATH=str(ROOT)) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(END_S_MAX) == 0


# ---- C


@pytest.mark.parametrize("standard", ["c99", "gnu11", "c++11", "c++20"])
def test_c_compiles_without_a_warning(probe: Probe, standard: str) -> None:
    flags = f"-std={standard} {WARNINGS}"
    if standard.startswith("c++"):
        program = probe.compiled(
            PROGRAMS / "sdk_probe.c", flags, [probe.tool("c++"), *("-x", "c++")]
        )
    else:
        program = probe.compiled(PROGRAMS / "sdk_probe.c", flags)
    assert given([str(program)], b"a\n").lines == [b"=a"]


def test_c_under_sanitizers(probe: Probe) -> None:
    flags = f"-std=c99 {WARNINGS} -fsanitize=address,undefined -fno-sanitize-recover"
    program = [str(probe.compiled(PROGRAMS / "sdk_probe.c", flags))]
    messages = [*NASTY, b"y" * 300_000, b"big 1", b"big 0"]
    expected = [*echoed(messages[:-2]), b"x", b""]
    assert given(program, lines(*messages)).lines == expected
    assert given(program, frames(*messages), DROP_KIND="frame").frames == expected
    travels = given(program, lines(b"newline", *messages), DROP_NEWLINE="ncm")
    assert travels.lines == [b"a\tncm\tb", *expected]
    tokens = [b"%d::%s" % (number, message) for number, message in enumerate(messages)]
    answers = [b"%d::%s" % (number, answer) for number, answer in enumerate(expected)]
    assert given(program, lines(*tokens), DROP_KIND="async").lines == answers


def test_c_refuses_more_than_its_limit(probe: Probe) -> None:
    flags = f"-std=c99 {WARNINGS} -DDROP_FUNCTION_BYTES_MAX=1000"
    program = [str(probe.compiled(PROGRAMS / "sdk_probe.c", flags))]
    assert given(program, lines(b"y" * 999)).lines == [b"=" + b"y" * 999]
    too_long = given(program, lines(b"a") + b"y" * 100_000)
    assert (too_long.lines, too_long.status) == ([b"=a"], 1)
    too_big = given(program, lines(b"a", b"big 1001"))
    assert (too_big.lines, too_big.status) == ([b"=a"], 1)
    framed = given(program, frames(b"a", b"y" * 1001), DROP_KIND="frame")
    assert (framed.frames, framed.status) == ([b"=a"], 1)


# ---- shell


def test_shell_has_no_doubtful_line(probe: Probe) -> None:
    shellcheck = probe.tool("shellcheck")
    scripts = [ROOT / "sdk/shell/drop_function.sh", ROOT / "examples/sdk/weekday.sh"]
    command = [shellcheck, "-x", "-P", "SCRIPTDIR", *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.parametrize("shell", SHELL)
def test_shell_events_and_log(probe: Probe, shell: str) -> None:
    source = f". {shlex.quote(str(ROOT / 'sdk/shell/drop_function.sh'))}"
    script = f"{source}\ndrop_function_emit '-n a\\n%s'; drop_function_log hello '*'\n"
    script += "drop_function_emit \"$(printf 'a\\nb')\" || exit 4"
    result = given([probe.tool(shell), "-c", script], b"")
    assert (result.stdout, result.status) == (b"-n a\\n%s\n", 4)
    assert result.stderr.startswith("hello *\ndrop_function: an answer has a newline")


# ---- Node.js


@pytest.mark.parametrize("sdk", NODE)
def test_node_errors_as_answers(probe: Probe, sdk: str) -> None:
    messages = lines(b"a", b"fail", b"newline", b"b")
    result = given(probe.command(sdk, '{"onError":"answer"}'), messages)
    assert result.lines[:2] == [b"=a", b'{"error":"RangeError: asked to fail"}']
    assert 'the answer to "newline"' in json.loads(result.lines[2])["error"].replace("\\", "")
    assert (result.lines[3:], result.status) == ([b"=b"], 0)
    blamed = given(
        probe.command(sdk, '{"onError":"blame"}'), lines(b"1::fail", b"2::a"), DROP_KIND="async"
    )
    assert sorted(blamed.lines) == [b"1::fail because asked to fail", b"2::=a"]


@pytest.mark.parametrize("sdk", NODE)
def test_node_text_and_json(probe: Probe, sdk: str) -> None:
    texts = ["a", "", "é", "\u2028", "\ufeffmark"]
    messages = [text.encode() for text in texts]
    text = probe.command(sdk, '{"message":"string"}')
    assert given(text, lines(*messages)).lines == echoed(messages)
    broken = given(text, lines(b"a", b"\xff", b"b"))
    assert (broken.lines, broken.status) == ([b"=a"], 1)
    assert "not UTF-8" in broken.stderr
    as_json = given(probe.command(sdk, '{"message":"json"}'), lines(b'{"a":1}', b"[]", b"{"))
    assert (as_json.lines, as_json.status) == ([b'[{"a":1}]', b"[[]]"], 1)


def test_node_exec_takes_all_of_stdin(probe: Probe) -> None:
    for sdk in NODE:
        result = given(probe.command(sdk), b"a\nb\n", DROP_KIND="exec")
        assert (result.stdout, result.status) == (b"=a\nb\n", 0)
        failed = given(probe.command(sdk), b"fail", DROP_KIND="exec")
        assert (failed.stdout, failed.status) == (b"", 1)


@pytest.mark.parametrize("style", ["require", "import"])
def test_node_events_by_either_way_of_importing(probe: Probe, style: str) -> None:
    module = ROOT / "sdk/node/drop-function.js"
    load = {
        "require": f"const {{ emit }} = require({json.dumps(str(module))});",
        "import": f"import {{ emit }} from {json.dumps(str(module))};",
    }[style]
    program = f"{load} emit('a'); emit({{ b: 1 }}); console.log('no event');"
    kind = {"require": "commonjs", "import": "module"}[style]
    result = given([probe.node(), f"--input-type={kind}", "-e", program], b"")
    assert (result.stdout, result.stderr) == (b'a\n{"b":1}\n', "no event\n")


def test_node_stops_reading_while_nobody_takes_its_answers(probe: Probe) -> None:
    """Else it would hold all that a sender has: stdin fills up, as that of a plain loop does."""
    with running(probe.command("node")) as process:
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        room = select.poll()
        room.register(process.stdin, select.POLLOUT)
        sent = 0
        while sent < ANSWERS_UNREAD_MAX and room.poll(FULL_MS):
            sent += process.stdin.write(b"y" * 999 + b"\n") or 0
        assert sent < ANSWERS_UNREAD_MAX


# ---- the examples

EXAMPLES: dict[str, tuple[Callable[[Probe], list[str]], bytes, list[bytes]]] = {
    "summary.py": (
        lambda _: [sys.executable, str(ROOT / "examples/sdk/summary.py")],
        lines(b"[1, 2, 6]", b"[]", b"[0.5]"),
        [
            b'{"mean":3,"median":2}',
            b'{"error":"StatisticsError: mean requires at least one data point"}',
            b'{"mean":0.5,"median":0.5}',
        ],
    ),
    "count.c": (
        lambda probe: [str(probe.compiled(ROOT / "examples/sdk/count.c", f"-std=c99 {WARNINGS}"))],
        lines(b"two words", b""),
        [b'{"bytes":9,"words":2,"lines":0}', b'{"bytes":0,"words":0,"lines":0}'],
    ),
    "weekday.sh": (
        lambda probe: [probe.tool("sh"), str(ROOT / "examples/sdk/weekday.sh")],
        lines(b"2013-01-31", b"$(id)", b"2013-02-31"),
        [b"Thursday", *[b"invalid: no date like 2013-01-31"] * 2],
    ),
    "title.mjs": (
        lambda probe: [probe.node(), str(ROOT / "examples/sdk/title.mjs")],
        lines(b'{"order":1,"articles":[7,8]}', b'{"order":2,"articles":[9]}'),
        [b'{"order":1,"title":"pen and paper"}', b'{"order":2,"title":"unknown"}'],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(probe: Probe, name: str) -> None:
    command, messages, answers = EXAMPLES[name]
    result = given(command(probe), messages)
    assert (result.lines, result.status) == (answers, 0)


# ---- on a node


@pytest.mark.system
@pytest.mark.parametrize("kind", ["line", "frame", "async"])
@pytest.mark.parametrize("sdk", ["python", "python-async", "c", "node", "node-async"])
def test_on_a_node(probe: Probe, sdk: str, kind: str, start_node: StartNode) -> None:
    """The node says which kind; many messages are outstanding."""
    function = {"name": "probe", "cmd": probe.command(sdk), "kind": kind, "inflight": 64}
    node = start_node(flow("sdk", function))
    messages = [b"%d" % number for number in range(5_000)]
    with Client(node.address) as client:
        assert list(client.call_many("probe", messages)) == echoed(messages)


@pytest.mark.system
@pytest.mark.parametrize("sdk", ["python", "python-async", "c", "bash", "node", "node-async"])
def test_a_failed_handler_fails_its_own_call_only(
    probe: Probe, sdk: str, start_node: StartNode
) -> None:
    function = {"name": "probe", "cmd": probe.command(sdk), "inflight": 8}
    node = start_node(flow("sdk", function))
    with Client(node.address) as client:
        for _ in range(2):
            assert client.call("probe", b"a") == b"=a"
            with pytest.raises(FunctionError):
                client.call("probe", b"fail")
        assert client.call("probe", b"b") == b"=b"
