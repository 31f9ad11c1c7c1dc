"""Makes and judges a manylinux2014 wheel of this project: `build [--output DIR] [--cache DIR]`.

The same compiler and interpreter as for the tree, and the same cache. auditwheel, which defines
what the name means, gives the wheel its name; then the wheel is installed and called.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tree"))

import build_tree  # noqa: E402
import crosstools  # noqa: E402
import own_wheel  # noqa: E402
from debian_source import Sources  # noqa: E402
from faults import BuildFault  # noqa: E402

LOCK = HERE / "auditwheel.lock"
PLATFORM = "manylinux2014_x86_64"
TRIAL = HERE.parent / "trial.py"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="build", description="Build manylinux2014 wheels.")
    parser.add_argument("--output", metavar="DIR", type=Path, default=own_wheel.ROOT / "dist")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, default=own_wheel.ROOT / "build" / "tree"
    )
    arguments = parser.parse_args()
    os.umask(0o022)
    try:
        made = build(arguments.output.resolve(), arguments.cache.resolve())
        try_out(made, arguments.cache.resolve() / "wheel-trial")
    except BuildFault as fault:
        print(f"build: {fault}", file=sys.stderr)
        return 1
    print(f"{made}: made, judged, installed and called")
    return 0


def build(output: Path, cache: Path) -> Path:
    """The wheel with the name that auditwheel allows it; raises BuildFault."""
    with build_tree.held(cache):
        chain = crosstools.prepare(cache)
        bench = build_tree.workbench(cache, Sources(cache / "sources", refresh=False), chain)
        wheel = own_wheel.bring(cache, chain, bench.bring(build_tree.CPYTHON.name))
        judge = auditor(cache)
    output.mkdir(parents=True, exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in output.glob("*.whl")}
    environment = {
        "PATH": f"{judge / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(judge),
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(crosstools.EPOCH),
    }
    options = ("--plat", PLATFORM, "--only-plat", "--wheel-dir", str(output), str(wheel))
    command = [sys.executable, "-m", "auditwheel", "repair", *options]
    if subprocess.run(command, env=environment).returncode != 0:
        raise BuildFault(f"{wheel}: auditwheel does not allow it the name {PLATFORM}; see above")
    made = [path for path in output.glob("*.whl") if before.get(path) != path.stat().st_mtime_ns]
    if len(made) != 1 or PLATFORM not in made[0].name:
        raise BuildFault(f"{output}: auditwheel left {[path.name for path in made]}")
    return made[0]


def auditor(cache: Path) -> Path:
    """Where auditwheel is installed, by the digest of its lock."""
    directory = cache / f"auditwheel-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not (directory / "done").exists():
        shutil.rmtree(directory, ignore_errors=True)
        crosstools.install(LOCK, directory)
        (directory / "done").touch()
    return directory


def try_out(wheel: Path, directory: Path) -> None:
    """Installs the wheel with all that it requires into a fresh environment and runs a call."""
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    locked = crosstools.HERE / "requirements.lock"
    for what in (("--require-hashes", "--requirement", str(locked)), ("--no-deps", str(wheel))):
        if subprocess.run([*pip, *what]).returncode != 0:
            raise BuildFault(f"{wheel.name}: pip could not install {what[-1]}; see above")
    trial = [str(python), str(TRIAL), str(directory / "bin")]
    if subprocess.run(trial, cwd=directory, env={"LC_ALL": "C.UTF-8"}).returncode != 0:
        raise BuildFault(f"{wheel.name}: installed, but the trial failed; see above")
    shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
