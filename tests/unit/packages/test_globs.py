"""Which files of a directory belong into a package."""

import pytest

from drop.packages.globs import Chooser


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("main.py", True),
        ("lib/deep/data.json", True),
        (".git/config", False),
        ("lib/.env", False),
        ("lib/__pycache__/a.pyc", False),
        ("a.pyc", False),
        ("hello-1.0.0.dropfn", False),
        ("main.o", False),
        ("notes~", False),
        ("node_modules/x/index.js", True),
    ],
)
def test_by_default_everything_but_litter(path: str, taken: bool) -> None:
    assert Chooser([], []).takes(path) is taken


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.py", "a.py", True),
        ("*.py", "deep/down/a.py", True),
        ("*.py", "a.pyc", False),
        ("lib", "lib/a/b", True),
        ("lib/", "lib/a/b", True),
        ("lib", "other/lib/a", True),
        ("lib/*.py", "lib/a.py", True),
        ("lib/*.py", "lib/deep/a.py", False),
        ("lib/*.py", "other/lib/a.py", False),
        ("lib/**", "lib/deep/a.py", True),
        ("**/a.py", "a.py", True),
        ("**/a.py", "x/y/a.py", True),
        ("lib/**/a.py", "lib/a.py", True),
        ("/main.py", "main.py", True),
        ("/main.py", "lib/main.py", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
        ("[x]", "[x]", True),
        (".env", ".env", True),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert Chooser([pattern], []).takes(path) is matches
    assert Chooser(["**"], [pattern]).takes(path) is not matches


def test_exclude_wins_over_include() -> None:
    chooser = Chooser(["lib"], ["*.md"])
    assert chooser.takes("lib/a.py")
    assert not chooser.takes("lib/a.md")
    assert chooser.prunes("lib/a.md")
    assert not chooser.prunes("lib")
