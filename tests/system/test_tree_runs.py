"""A finished tree (`make tree`) runs from anywhere, for anybody, with nothing in the environment.

DROP_TREE names the tree. Building one takes minutes and the network, so these are no part of every
run; tests/test_tree.py is.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from as_nobody import as_nobody, needs_root
from packaging_tree import ROOT
from running_node import RunningNode

TREE = os.environ.get("DROP_TREE", "")
TRIAL = ROOT / "packaging" / "trial.py"
MODULES = (
    *("ssl", "sqlite3", "ctypes", "zlib", "lzma", "bz2", "hashlib", "xml.etree.ElementTree"),
    *("asyncio", "uvloop", "orjson", "pydantic", "yaml", "psutil", "pyroute2", "cffi", "rich"),
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not TREE, reason="no tree: `make tree` builds one and runs these"),
]


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in a directory with a blank in its name, that everybody can enter."""
    directory = tmp_path_factory.mktemp("a tree")
    for parent in (directory, *list(directory.parents)[:2]):
        parent.chmod(0o755)
    return Path(shutil.copytree(TREE, directory / "moved here", symlinks=True))


def run(*command: object, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    """With an empty environment."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env={}, capture_output=True, text=True)


def trial(tree: Path) -> tuple[int, str]:
    """A node, a call, a stop; by a copy of the trial, which others than its owner can read."""
    copy = tree.parent / "trial.py"
    done = run(tree / "bin" / "python3", "-I", copy, tree / "bin")
    return done.returncode, done.stdout + done.stderr


def test_a_node_answers_a_call(moved: Path) -> None:
    shutil.copy(TRIAL, moved.parent)
    status, output = trial(moved)
    assert status == 0, output
    assert "node: exit status 0" in output


@needs_root
def test_a_node_of_an_unprivileged_user_answers_a_call(moved: Path) -> None:
    shutil.copy(TRIAL, moved.parent)
    status, output = as_nobody(lambda: trial(moved))
    assert status == 0, output


def test_the_interpreter_has_its_own_modules(moved: Path) -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[2:]:\n"
        "    module = importlib.import_module(name)\n"
        "    print(module.__file__)\n"
        "    assert module.__file__.startswith(sys.argv[1]), module.__file__\n"
        "assert sys.prefix == sys.argv[1], sys.prefix\n"
    )
    done = run(moved / "bin" / "python3", "-I", "-c", code, moved, *MODULES)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(MODULES)


def test_libraries_that_are_compiled_in_work(moved: Path) -> None:
    code = (
        "import bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib\n"
        "for packer in (bz2, lzma, zlib):\n"
        "    assert packer.decompress(packer.compress(b'drop' * 999)) == b'drop' * 999\n"
        "assert sqlite3.connect(':memory:').execute('select 6 * 7').fetchone() == (42,)\n"
        "callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda number: number + 1)\n"
        "assert callback(41) == 42\n"
        "ssl.create_default_context()\n"
        "print(hashlib.new('sha3_256', b'').hexdigest()[:8], hashlib.blake2s(b'').digest_size)\n"
    )
    done = run(moved / "bin" / "python3", "-I", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a7ffc6f8 32\n"


def test_programs_are_found_through_links_and_from_their_directory(moved: Path) -> None:
    (moved.parent / "by-link").symlink_to(moved / "bin" / "drop")
    version = (moved / "VERSION").read_text().splitlines()[0]
    for command, cwd in (
        (moved.parent / "by-link", Path("/")),
        ("./drop", moved / "bin"),
        (moved / "bin" / "drop-node", Path("/")),
    ):
        done = run(command, "--version", cwd=cwd)
        assert done.stdout.split()[-1] == version, done.stderr


def test_a_directory_of_the_caller_changes_nothing(moved: Path, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    (tmp_path / "drop.py").write_text("raise SystemExit('the wrong drop')\n")
    done = run(moved / "bin" / "drop", "--version", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def on_linux_3_10(tree: Path, *command: str, **environment: str) -> tuple[int, str]:
    """A program of the tree with the system calls of that kernel."""
    words = [sys.executable, str(ROOT / "tests" / "old_kernel.py"), str(tree / "bin" / command[0])]
    done = subprocess.run([*words, *command[1:]], env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_command_line_runs_on_linux_3_10(
    moved: Path, start_node: Callable[..., RunningNode]
) -> None:
    node = start_node("name: old\nfunc:\n  - {name: echo, cmd: cat}\n")
    for command, expected in (
        (("call", "echo", "hello"), "hello"),
        (("flow", "list"), "running"),
        (("ping", "--count", "1"), "us"),
    ):
        status, output = on_linux_3_10(moved, "drop", *command, DROP_ADDRESS=node.socket_address)
        assert status == 0, output
        assert expected in output


def test_the_node_says_that_linux_3_10_is_too_old(moved: Path, tmp_path: Path) -> None:
    status, output = on_linux_3_10(moved, "drop-node", "run", "--var-dir", str(tmp_path))
    assert status == 2
    assert "Linux 5.3 or later is needed" in output
