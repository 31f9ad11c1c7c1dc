"""The templates of `drop fun init`, and how a directory is made of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drop.packages.faults import PackageError
from drop.packages.scaffold import ALIASES, init, languages, missing_tool
from drop.packages.tree import package_of


def test_the_languages() -> None:
    assert {"bash", "c", "go", "node", "perl", "python", "ruby", "rust"} <= set(languages())
    assert set(ALIASES.values()) <= set(languages())


@pytest.mark.parametrize("language", languages())
def test_each_template_is_a_function(language: str, tmp_path: Path) -> None:
    manifest = init(tmp_path / "my-function", language)
    assert (manifest.name, manifest.kind) == ("my-function", "line")
    assert manifest.keys.cases
    assert sorted(os.listdir(tmp_path)) == ["my-function"]
    for file in (tmp_path / "my-function").iterdir():
        assert "@" not in file.read_text()
        assert (file.stat().st_mode & 0o100 != 0) is file.read_text().startswith("#!")
    if not manifest.keys.build:
        assert len(package_of(manifest, tmp_path / "my-function").content) == 2


def test_other_names_of_languages(tmp_path: Path) -> None:
    assert init(tmp_path / "a", "JS").function.cmd == ("node", "main.js")
    assert init(tmp_path / "b", "python3").function.cmd == ("python3", "main.py")


@pytest.mark.parametrize(
    ("name", "language", "says"),
    [
        ("my function", "c", "cannot be the name of a function"),
        ("-x", "c", "cannot be the name"),
        ("f", "pyhton", "did you mean 'python'"),
        ("f", "cobol", "no template for 'cobol'.*there are: bash"),
        ("there", "c", "is there already"),
    ],
)
def test_what_is_refused(name: str, language: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(PackageError, match=says):
        init(tmp_path / name, language)
    assert os.listdir(tmp_path) == ["there"]


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = init(tmp_path / "f", "go")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tool(manifest) == "go"
    assert missing_tool(init(tmp_path / "g", "ruby")) == "ruby"
