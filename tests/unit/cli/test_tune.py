"""`drop tune` for a plain user, and command lines that cannot be."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from as_nobody import as_nobody
from drop.cli import main, tune, tune_measure  # all that a plain user may not be able to import
from drop.cli.errors import UsageError
from drop.host.tuning.parameters import BY_KEY

assert tune_measure


def run_as_nobody(*words: str) -> tuple[int, str, str]:
    """Code, stdout and stderr of `drop tune` by somebody who can write nothing of the kernel's."""

    def run() -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.run(["tune", "--var-dir", "/nonexistent/drop", *words])
        return code, out.getvalue(), err.getvalue()

    result: tuple[int, str, str] = as_nobody(run)
    return result


def test_a_plain_user_sees_everything() -> None:
    code, out, _ = run_as_nobody("--json", "--profile", "latency")
    document = json.loads(out)
    assert (code, document["profile"]) == (0, "latency")
    assert [row["key"] for row in document["rows"]] == list(BY_KEY)
    notes = {row["note"] for row in document["rows"] if row["status"] == "change"}
    assert all("needs root" in note for note in notes)
    assert {each["name"] for each in document["sockets"]} >= {"TCP_NODELAY", "SO_BUSY_POLL"}


def test_the_table_says_why_and_what_comes_of_it() -> None:
    code, out, _ = run_as_nobody()
    assert code == 0
    words = " ".join(out.split())  # long ones are folded
    for parameter in BY_KEY.values():
        assert parameter.key in out
        assert f"why: {parameter.why}" in words
        assert f"effect: {parameter.effect}" in words
    assert "net.ipv4.tcp_tw_recycle" in out
    assert "gone since Linux 4.12: skipped" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("flag", ["--apply", "--persist", "--measure"])
def test_a_plain_user_is_told_what_needs_root(flag: str) -> None:
    code, _, err = run_as_nobody(flag, "--yes")
    assert code == 1
    assert f"{flag} needs root" in err
    assert f"`sudo drop tune {flag}`" in err


def test_a_plain_user_has_nothing_to_revert() -> None:
    code, out, _ = run_as_nobody("--revert")
    assert (code, out) == (0, "nothing to put back: there is no /nonexistent/drop/tuning.json\n")


def test_only_one_thing_at_a_time() -> None:
    with pytest.raises(UsageError, match="not several"):
        tune.tune(apply=True, revert=True)
    with pytest.raises(UsageError, match="throughput, latency, edge"):
        tune.tune(profile="fast")


def test_a_record_that_cannot_be_used_does_not_hide_the_table(tmp_path: Path) -> None:
    (tmp_path / "tuning.json").write_text("{}")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main.run(["tune", "--var-dir", str(tmp_path)]) == 0
    assert "drop: warning:" in err.getvalue()
    assert "vm.swappiness" in out.getvalue()
