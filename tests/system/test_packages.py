"""Packages with everything real: compilers, a terminal, processes that are killed, a node."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from drop.client import Client
from drop.packages.scaffold import init, languages
from packages_tools import make_directory
from running_node import RunningNode

pytestmark = pytest.mark.system

SECONDS = 120  # a compiler on a busy machine
DROP = [sys.executable, "-m", "drop.cli.main", "fun"]
TOOLS = {"bash": "bash", "c": "cc", "cpp": "c++", "python": "python3", "rust": "rustc"}


@pytest.fixture
def drop(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `drop fun ...` as a process of its own, in a directory of its own."""
    environment = {
        **os.environ,
        "DROP_VAR_DIR": str(tmp_path / "var"),
        "DROP_WORKER_USER": "root",  # another user may not look into directories of tests
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
    }

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*DROP, *words],
            cwd=tmp_path,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    return run


Drop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("language", languages())
def test_every_template_runs_at_once(language: str, drop: Drop, tmp_path: Path) -> None:
    """Made, tested, run, packed, installed, and run again from where it is installed."""
    tool = TOOLS.get(language, language)
    if shutil.which(tool) is None:
        made = drop("init", "greet", "--lang", language)
        assert made.returncode == 0
        assert f"it needs {tool}, and there is none in PATH" in made.stderr
        assert tool in drop("run", "greet").stderr
        pytest.skip(f"there is no {tool} here; that this is said was tested")
    assert drop("init", "greet", "--lang", language).returncode == 0
    tested = drop("test", "greet")
    assert tested.stdout == "ok      it greets\ngreet:0.1.0: 1 of 1 cases passed\n", tested.stderr
    assert drop("run", "greet", given="a\n\nb").stdout == "hello, a\nhello, \nhello, b\n"
    assert drop("pack", "greet").returncode == 0
    shutil.rmtree(tmp_path / "greet")
    assert drop("install", "greet-0.1.0.dropfn").stdout == "greet:0.1.0 installed\n"
    assert drop("run", "greet:0.1.0", given="c\n").stdout == "hello, c\n"


def test_packing_is_reproducible_from_the_sources_on(drop: Drop, tmp_path: Path) -> None:
    """Two directories, two builds, one digest."""
    digests = []
    for place in ("one", "two"):
        init(tmp_path / "greet", "bash")
        packed = drop("pack", "greet", "-o", f"{place}.dropfn")
        digest = hashlib.sha256((tmp_path / f"{place}.dropfn").read_bytes()).hexdigest()
        assert packed.stdout == f"{place}.dropfn  sha256={digest}\n"
        digests.append(digest)
        shutil.rmtree(tmp_path / "greet")
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("kind", "program", "given", "answers", "code"),
    [
        ("exec", "tr a-z A-Z", "a\nb", "A\nB", 0),
        ("exec", "sh -c 'exit 1'", "", "", 1),
        ("stream", "seq 3", "", "1\n2\n3\n", 0),
        ("async", "sed -u s/x/y/", "a\nb\n", "a\nb\n", 0),
        ("frame", "cat", "a\nb\n", "a\nb\n", 0),
        ("line", "sh -c 'read -r x; exit 3'", "a\n", "", 1),
        ("line", "sh -c 'read -r x; echo a; echo b'", "x\n", "a\n", 1),
    ],
)
def test_every_kind_at_the_command_line(
    kind: str, program: str, given: str, answers: str, code: int, drop: Drop, tmp_path: Path
) -> None:
    yaml = f"name: f\nversion: 1.0.0\nkind: {kind}\ncmd: {program}\n"
    make_directory(tmp_path / "f", {}, yaml=yaml)
    ran = drop("run", "f", given=given)
    assert (ran.stdout, ran.returncode) == (answers, code), ran.stderr
    assert (ran.stderr != "") is (code != 0)


RUNTIME = b"""
import os, urllib.request
at = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(at + "next") as asked:
        name, event = asked.headers["Lambda-Runtime-Aws-Request-Id"], asked.read()
    urllib.request.urlopen(at + name + "/response", event.upper()).close()
"""


def test_a_foreign_runtime_gets_its_adapter(drop: Drop, tmp_path: Path) -> None:
    """As in a node: a loop for AWS Lambda finds the endpoint that it asks."""
    yaml = (
        "name: f\nversion: 1.0.0\nkind: lambda\ncmd: python3 bootstrap.py\n"
        "cases: [{input: ['\"a\"'], output: ['\"A\"']}]\n"
    )
    make_directory(tmp_path / "f", {"bootstrap.py": RUNTIME}, yaml=yaml)
    tested = drop("test", "f")
    assert tested.stdout.endswith("f:1.0.0: 1 of 1 cases passed\n"), tested
    assert drop("run", "f", given='"b"\n').stdout == '"B"\n'


def test_what_the_worker_logs_is_shown_as_it_comes(drop: Drop, tmp_path: Path) -> None:
    yaml = "name: f\nversion: 1.0.0\ncmd: [sh, -c, 'echo up >&2; exec cat']\n"
    make_directory(tmp_path / "f", {}, yaml=yaml)
    ran = drop("run", "f", given="a\n")
    assert (ran.stdout, ran.stderr) == ("a\n", "up\n")


class Terminal:
    """A command whose stdin, stdout and controlling terminal is a terminal."""

    def __init__(self, words: list[str], directory: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execve(words[0], words, environment)
        self.seen = b""

    def until(self, text: bytes) -> None:
        """Reads what is on the screen until this is."""
        while text not in self.seen:
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # the other side is closed
                data = b""
            assert data, self.seen
            self.seen += data

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> int:
        """The exit code; reads on so that the command can end."""
        try:
            while data := os.read(self.fd, 4096):
                self.seen += data
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def terminal_with(program: str, tmp_path: Path) -> Terminal:
    yaml = f"name: f\nversion: 1.0.0\ncmd: [sh, -c, {program!r}]\n"
    make_directory(tmp_path / "f", {}, yaml=yaml)
    return Terminal([*DROP, "run", "f"], tmp_path)


def test_at_a_terminal_each_line_is_answered_when_it_is_typed(tmp_path: Path) -> None:
    terminal = terminal_with('while read -r x; do echo "<$x>"; done', tmp_path)
    terminal.type(b"one\n")
    terminal.until(b"<one>")
    terminal.type(b"two\n")
    terminal.until(b"<two>")
    terminal.type(b"\x04")
    assert terminal.end() == 0


def test_a_worker_that_dies_is_noticed_before_the_next_line(tmp_path: Path) -> None:
    terminal = terminal_with("read -r x; echo ok; exit 7", tmp_path)
    terminal.type(b"one\n")
    terminal.until(b"the worker ended (exit code 7)")
    assert terminal.end() == 1


def test_control_c_ends_the_worker_too(tmp_path: Path) -> None:
    terminal = terminal_with("echo $$ >&2; trap '' INT; exec cat", tmp_path)
    terminal.until(b"\n")
    worker = int(terminal.seen.split()[0])
    os.kill(worker, 0)
    terminal.type(b"x\n")
    terminal.until(b"x\r\nx")
    terminal.type(b"\x03")
    assert terminal.end() == 130
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_the_worker_dies_with_a_killed_command(tmp_path: Path) -> None:
    terminal = terminal_with("echo $$ >&2; exec sleep 1000", tmp_path)
    terminal.until(b"\n")
    pidfd = os.pidfd_open(int(terminal.seen.split()[0]))
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.end()
    assert select.select([pidfd], [], [], SECONDS)[0] == [pidfd]
    os.close(pidfd)


def test_it_runs_as_a_node_would_run_it(
    drop: Drop, tmp_path: Path, start_node: Callable[..., RunningNode]
) -> None:
    """The same variables, the same directory: what a worker of each sees is compared."""
    program = "read -r x; env | grep -v ^_= | sort | tr '\\n' ' '; echo $PWD $0"
    yaml = f"name: seen\nversion: 1.0.0\ncmd: [sh, -c, {program!r}]\nenv: {{A: b}}\n"
    make_directory(tmp_path / "f", {}, yaml=yaml)
    assert drop("install", "f").returncode == 0
    files = tmp_path / "var/functions/seen/1.0.0/files"
    here = drop("run", "seen", given="x\n").stdout.split()
    flow = f"name: seen\nfunc:\n  - name: seen\n    cmd: [sh, -c, {program!r}]\n    cwd: {files}\n"
    node = start_node(flow + "    env: {A: b}\n")
    with Client(node.socket_address) as client:
        there = client.call("seen", b"x").decode().split()
    differs = ("DROP_NODE=", "PWD=", "PATH=", "HOME=", "LANG=")
    assert {each for each in here if not each.startswith(differs)} == {
        each for each in there if not each.startswith(differs)
    }
    assert [each.split("=")[0] for each in here] == [each.split("=")[0] for each in there]
    assert str(files) in here


def test_a_flow_uses_versions_side_by_side(
    drop: Drop, tmp_path: Path, start_node: Callable[..., RunningNode]
) -> None:
    """One pool stays with its version, one follows the newest when the flows are read again."""
    program = "while read -r x; do echo {version} $x; done"
    node = start_node()

    def install(version: str) -> None:
        yaml = f"name: f\nversion: {version}\ncmd: sh main.sh\n"
        text = program.format(version=version).encode()
        make_directory(tmp_path / "f", {"main.sh": text}, yaml=yaml)
        assert drop("install", "f", "--var-dir", str(node.var_dir)).returncode == 0

    install("1.0.0")
    flow = tmp_path / "flow.yaml"
    flow.write_text("name: v\nfunc: [{name: a, package: 'f:1.0.0'}, {name: b, package: f}]\n")
    with Client(node.socket_address) as client:
        assert client.control("flow.start", file=str(flow))["ok"]
        assert (client.call("a", b"x"), client.call("b", b"x")) == (b"1.0.0 x", b"1.0.0 x")
        install("1.1.0")
        assert client.call("b", b"x") == b"1.0.0 x"
        assert client.control("flow.stop", name="v")["ok"]
        assert client.control("flow.start", name="v")["ok"]
        assert (client.call("a", b"x"), client.call("b", b"x")) == (b"1.0.0 x", b"1.1.0 x")
        refused = client.control("flow.start", file=str(_bad_flow(tmp_path)))
        assert refused["kind"] == "bad_flow"
        assert "there is no package absent; installed are: f" in refused["error"]
    for version in ("1.0.0", "1.1.0"):
        removed = drop("remove", f"f:{version}", "--var-dir", str(node.var_dir))
        assert "is used by the flow v" in removed.stderr


def _bad_flow(directory: Path) -> Path:
    flow = directory / "bad.yaml"
    flow.write_text("name: bad\nfunc: [{name: c, package: absent}]\n")
    return flow
