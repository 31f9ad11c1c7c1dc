"""`drop-node` before it runs anything: options, the check, and exit code 2 with every fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import drop
from drop.cli.node import main

FLOW = "name: one\nfunc:\n  - name: echo\n    cmd: cat\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of this machine or user."""
    monkeypatch.setenv("DROP_CONFIG", str(tmp_path / "drop.yaml"))
    (tmp_path / "drop.yaml").write_text("name: here\n")


def test_a_good_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = tmp_path / "one.yaml"
    flow.write_text(FLOW + "    idle: 5\n")
    assert main(["check-config", "--var-dir", str(tmp_path), "--flow", str(flow)]) == 0
    told = capsys.readouterr()
    assert told.out == f"ok: node here, {tmp_path}/drop.sock, 127.0.0.1:8085, 1 flows\n"
    assert "idle" in told.err


def test_a_key_that_cannot_be_used_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("no key\n")
    (tmp_path / "key").chmod(0o600)
    assert main(["check-config", "--var-dir", str(tmp_path)]) == 0
    assert f"warning: {tmp_path}/key:1" in capsys.readouterr().err


def test_every_fault_of_every_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drop.yaml").write_text("name: here\ngrace_ms: soon\nlisten: 0.0.0.0:80\n")
    flow = tmp_path / "one.yaml"
    flow.write_text(FLOW + "    num: 0\n    colour: red\n")
    assert main(["check-config", "--var-dir", str(tmp_path), "--flow", str(flow)]) == 2
    told = capsys.readouterr().err
    for place in (f"{tmp_path}/drop.yaml:2:", f"{flow}:5:", f"{flow}:6:"):
        assert place in told


def test_flows_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flows = [tmp_path / name for name in ("one.yaml", "two.yaml")]
    for flow in flows:
        flow.write_text(FLOW)
    options = [option for flow in flows for option in ("--flow", str(flow))]
    assert main(["check-config", "--var-dir", str(tmp_path), *options]) == 2
    assert "there is a flow 'one' already" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--ready-fd", "x"], ["run", "--no"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: drop-node" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"drop-node {drop.__version__}\n"


def test_a_missing_part_is_named() -> None:
    """`pip install .` brings the client only, and this command with it."""
    code = (
        "import sys; sys.modules['pydantic'] = None; from drop.cli.node import main;"
        "sys.exit(main(['check-config']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    told = "drop-node: pydantic is not installed; `pip install 'drop-platform[node]'`\n"
    assert (run.returncode, run.stderr) == (2, told)
