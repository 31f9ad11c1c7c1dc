"""Our native code compiles for glibc 2.17, and asks for nothing newer: what the packages rest on.

All extensions and programs, which takes half a minute. The whole tree, interpreter and all, is
built by `make tree`, and tried by tests/system/test_tree_runs.py.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from packaging_tree import ROOT, TREE, load


@pytest.mark.timeout(600)  # a cold compiler first compiles the parts of its own library
@pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None,
    reason="needs the compiler for old systems: pip install ziglang==0.13.0.post1",
)
def test_our_code_needs_nothing_newer_than_centos_7(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, so that the extensions in use stay what they are
    for path in load("own_wheel").sources():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)
    toolchain = load("crosstools")
    flags = " ".join(toolchain.COMPILER_FLAGS)
    cache = str(ROOT / "build" / "zig-cache")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CC": f"{sys.executable} -m ziglang cc -target {toolchain.TARGET} {flags}",
        "ZIG_GLOBAL_CACHE_DIR": cache,
        "ZIG_LOCAL_CACHE_DIR": cache,
    }
    command = [sys.executable, "build_ext.py"]
    built = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o755)
    made = [path for path in (source / "drop" / "_fast").iterdir() if os.access(path, os.X_OK)]
    for path in made:
        shutil.copy(path, tree)
    table = re.findall(r'^    Native\("([\w-]+)"', (ROOT / "build_ext.py").read_text(), re.M)
    assert {path.name.split(".")[0] for path in made} == set(table)
    checked = subprocess.run(
        [sys.executable, str(TREE / "check"), str(tree)], capture_output=True, text=True
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"{len(table)} of them ELF" in checked.stdout


def test_the_locks_name_what_the_extras_name() -> None:
    """By name: a dependency that is added has to be locked as well (packaging/tree/lock.py)."""
    extras = load("lock").tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = extras["optional-dependencies"]
    for lock, needed in (
        ("requirements.lock", [*extras["node"], *extras["cli"]]),
        ("requirements-client.lock", extras["cli"]),
    ):
        locked = {line.split("==")[0] for line in (TREE / lock).read_text().splitlines()}
        assert {line.split(">=")[0].lower() for line in needed} <= locked
