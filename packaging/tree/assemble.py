"""Puts a tree together: interpreter, dependencies, our package, starters, byte code, licences.

The same inputs give the same bytes: times and permissions are set, byte code is made in a fixed
order and names files as seen from the tree, and nothing records where it was built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import crosstools as tools
import interpreter
from components import Built
from faults import BuildFault
from lock import CHOICE

HERE = Path(__file__).resolve().parent
START = HERE / "start.sh"
PYTHON_LIBRARY = Path("lib", f"python{interpreter.VERSION}")
SITE = PYTHON_LIBRARY / "site-packages"


@dataclass(frozen=True)
class Kind:
    """One of the trees that can be made."""

    name: str
    programs: dict[str, str]  # name in bin/ -> module that it starts
    lock: str


NODE = Kind("node", {"drop": "drop.cli.main", "drop-node": "drop.cli.node"}, "requirements.lock")
CLIENT = Kind("client", {"drop": "drop.cli.main"}, "requirements-client.lock")


def assemble(tree: Path, kind: Kind, built: dict[str, Built], wheel: Path) -> None:
    """Makes the tree at `tree`, which must not exist; raises BuildFault."""
    base = built["cpython"].prefix
    shutil.copytree(base / "bin", tree / "bin", symlinks=True)
    shutil.copytree(
        base / "lib", tree / "lib", symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    site = tree / SITE
    tools.install(HERE / kind.lock, site, *CHOICE)
    shutil.rmtree(site / "bin", ignore_errors=True)  # scripts that start this machine's Python
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for program in ("drop-lambda", "drop-enclose"):  # the only ones; a zip file's modes are lost
        (site / "drop" / "_fast" / program).chmod(0o755)
    for name, module in kind.programs.items():
        text = START.read_text().replace("@MODULE@", module)
        (tree / "bin" / name).write_text(text)
        (tree / "bin" / name).chmod(0o755)
    licences(tree / "licenses", built)
    (tree / "VERSION").write_text(version_text(kind, built, wheel))
    compile_code(tree)
    settle(tree)


def licences(target: Path, built: dict[str, Built]) -> None:
    """What Debian says of each source that is compiled in; wheels carry their own."""
    target.mkdir()
    for name, component in sorted(built.items()):
        shutil.copy(component.directory / "copyright", target / name)
    shutil.copy(HERE.parent.parent / "LICENSE", target / "drop")


def version_text(kind: Kind, built: dict[str, Built], wheel: Path) -> str:
    """Our version alone on the first line, then of what the rest was made, a name a line."""
    lines = [wheel.name.split("-")[1], f"tree {kind.name}", f"target {tools.TARGET}"]
    for name, component in sorted(built.items()):
        source = component.source
        lines.append(f"{name} Debian {source.package} {source.version} dsc {source.digest}")
    locked = (HERE / kind.lock).read_text().splitlines()
    lines += [line.split()[0].replace("==", " PyPI ") for line in locked if "==" in line]
    return "\n".join(lines) + "\n"


def compile_code(tree: Path) -> None:
    """Byte code that is taken without a look at the source: packages replace both together."""
    command = [
        *(f"{tree}/bin/python3", "-Bs", "-m", "compileall", "-qf", "-j1"),
        *("--invalidation-mode", "unchecked-hash", "-s", f"{tree}/", f"{tree}/lib"),
    ]
    environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    if subprocess.run(command, env=environment).returncode != 0:
        raise BuildFault(f"{tree}: a module does not compile; see above")


def settle(tree: Path) -> None:
    """One time and plain permissions for all; executable is only what is started."""
    for directory, _, files in os.walk(tree, topdown=False):
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if is_program(path, tree) else 0o644)
            os.utime(path, (tools.EPOCH, tools.EPOCH), follow_symlinks=False)
        Path(directory).chmod(0o755)
        os.utime(directory, (tools.EPOCH, tools.EPOCH))


def is_program(path: Path, tree: Path) -> bool:
    """Whether it is started or mapped by the loader; rpm looks for needs of those alone."""
    name = path.name
    return path.parent == tree / "bin" or ".so" in name or name in ("drop-lambda", "drop-enclose")
