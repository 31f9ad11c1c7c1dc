"""The table and the JSON of `drop doctor`."""

import json

import pytest

from drop.cli import doctor
from drop.host.doctor import Protection

ON = Protection("closed descriptors", True, "nothing else")
OFF = Protection("private /tmp", False, "the node does not run as root", "run it as root")


def test_table() -> None:
    text = doctor.table([ON, OFF], "me")
    assert text.splitlines() == [
        "Workers of a node that is started here by me:",
        "",
        "on   closed descriptors  nothing else",
        "OFF  private /tmp        the node does not run as root",
        "                         -> run it as root",
        "",
        "1 of 2 are off",
    ]
    assert doctor.table([ON], "me").endswith("all are on")
    long = Protection("x", False, "word " * 60)
    assert max(map(len, doctor.table([long], "me").splitlines())) <= doctor.WIDTH


def test_exit_code_and_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda user: [ON, OFF])
    assert doctor.doctor(json=True) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == {
        "name": "private /tmp",
        "on": False,
        "detail": "the node does not run as root",
        "remedy": "run it as root",
    }
    monkeypatch.setattr(doctor, "examine", lambda user: [ON])
    assert doctor.doctor() == 0
    assert "all are on" in capsys.readouterr().out


def test_real_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.doctor() in (0, 1)
    assert "death with the node" in capsys.readouterr().out
