"""Our own wheel: the package from a copy of this source tree, compiled for the old C library.

The copy keeps the developer's own build apart; the cache keeps the wheel under the digest of the
sources, the compiler and the interpreter whose headers it was compiled with.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from components import Built
from crosstools import Toolchain
from faults import BuildFault

ROOT = Path(__file__).resolve().parent.parent.parent
METADATA = ("pyproject.toml", "setup.py", "build_ext.py", "README.md", "LICENSE", "MANIFEST.in")
BUILT = {"__pycache__", "build", "dist"}
MAKE = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"


def bring(cache: Path, toolchain: Toolchain, interpreter: Built) -> Path:
    """The wheel, built unless the cache has it; raises BuildFault."""
    files = sources()
    parts = [f"{path} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}" for path in files]
    parts += [toolchain.digest, interpreter.digest, Path(__file__).read_text()]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    directory = cache / f"drop-{digest[:12]}"
    if not (directory / "done").exists():
        print(f"drop: compiling in {directory}", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        _build(directory, files, toolchain, interpreter)
        (directory / "done").touch()
    return next(directory.glob("*.whl"))


def sources() -> list[Path]:
    """What the wheel is made from, relative to ROOT; nothing that a build has left there."""
    found = [Path(name) for name in METADATA]
    for top in ("c_src", "drop"):
        found += [path.relative_to(ROOT) for path in (ROOT / top).rglob("*") if path.is_file()]
    programs = {Path("drop/_fast/drop-lambda"), Path("drop/_fast/drop-enclose")}
    return sorted(
        path
        for path in set(found) - programs
        if not BUILT & set(path.parts) and path.suffix not in (".so", ".o", ".new")
    )


def _build(directory: Path, files: list[Path], toolchain: Toolchain, interpreter: Built) -> None:
    source = directory / "source"
    for path in files:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, source / path)
    environment = toolchain.environment(
        PYTHONPATH=str(toolchain.site),
        PYTHONDONTWRITEBYTECODE="1",
        SOURCE_ROOT=str(source.resolve()),
        LDFLAGS="-s",
    )
    python = interpreter.prefix.resolve() / "bin" / "python3"
    log = directory / "log"
    with log.open("w") as output:
        done = subprocess.run(
            [python, "-c", MAKE], cwd=source, env=environment, stdout=output, stderr=output
        )
    if done.returncode != 0:
        raise BuildFault(f"drop: the wheel was not built; see {log}")
    wheels = list(source.glob("*.whl"))
    shutil.move(wheels[0], directory / wheels[0].name)
    shutil.rmtree(source)
