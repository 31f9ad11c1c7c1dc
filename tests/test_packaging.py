"""What the build promises: the version in one place, the table complete, a missing part named."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import drop
import drop._fast

ROOT = Path(__file__).resolve().parent.parent


def build_table() -> set[str]:
    """The names in the table of build_ext.py, read as text: importing it needs setuptools."""
    return set(re.findall(r'^    Native\("(\w+)"', (ROOT / "build_ext.py").read_text(), re.M))


def test_the_missing_extension_message_knows_all_extensions() -> None:
    assert set(drop._fast.EXTENSIONS) == build_table()


def test_a_missing_extension_names_the_command_that_builds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "drop._fast.codec"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(drop._fast, "__path__", [str(tmp_path)])
    with pytest.raises(ImportError, match=r"build_ext\.py codec"):
        importlib.import_module(name)


def test_other_missing_modules_are_reported_as_ever() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module("drop._fast.no_such_module")


def test_the_changelog_tells_of_this_version() -> None:
    assert f"## {drop.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_client_needs_nothing_but_the_interpreter() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == []
