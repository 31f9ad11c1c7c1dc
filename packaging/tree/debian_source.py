"""Source packages of Debian: fetched and checked by apt in a directory of its own, and unpacked.

The machine's apt configuration is read for the address of its mirror and never changed. What was
fetched stays in the cache and is used again until somebody asks for newer.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from faults import BuildFault

# The release that has CPython 3.11; its keys come with Debian's keyring package.
SUITES = ("bookworm", "bookworm-updates", "bookworm-security")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT = Path("/etc/apt")


@dataclass(frozen=True)
class Source:
    """One source package in the cache."""

    package: str
    version: str
    dsc: Path  # beside it the files that it lists

    @property
    def digest(self) -> str:
        """Of the .dsc, which has the digests of all the other files."""
        return hashlib.sha256(self.dsc.read_bytes()).hexdigest()


class Sources:
    """Debian's source packages, kept in `cache`."""

    def __init__(self, cache: Path, *, refresh: bool) -> None:
        self._cache = cache.resolve()
        self._refresh = refresh
        self._updated = False

    def get(self, package: str) -> Source:
        """The package from the cache, or the newest that the mirror gives; raises BuildFault."""
        there = sorted((self._cache / package).glob("*.dsc"))
        if there and not self._refresh:
            return Source(package, version_of(there[-1]), there[-1])
        self._update()
        for version in self._versions(package):
            directory = self._cache / f".{package}.new"
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            if self._download(package, version, directory):
                shutil.rmtree(self._cache / package, ignore_errors=True)
                directory.rename(self._cache / package)
                return Source(package, version, next((self._cache / package).glob("*.dsc")))
            # An index may list what the mirror does not have yet, or no longer.
            print(f"{package} {version}: listed, but the mirror does not have it; the next older")
        raise BuildFault(f"{package}: Debian's mirror has no source package of that name")

    def _update(self) -> None:
        if self._updated:
            return
        if not KEYRING.exists() or shutil.which("dpkg-source") is None:
            raise BuildFault(
                f"{KEYRING} or dpkg-source is missing: the sources come from Debian's archive; "
                "`apt-get install debian-archive-keyring dpkg-dev`, or build on a Debian"
            )
        for name in ("lists/partial", "archives/partial"):
            (self._cache / "apt" / name).mkdir(parents=True, exist_ok=True)
        lines = [
            f"deb-src [signed-by={KEYRING}] {mirror} {suite} main\n"
            for suite in SUITES
            for mirror in [mirror_of("debian-security" if "security" in suite else "debian")]
        ]
        (self._cache / "apt" / "sources.list").write_text("".join(lines))
        done = subprocess.run(self._apt("apt-get", "--quiet", "update"))
        if done.returncode != 0:
            raise BuildFault("apt-get update failed; what it says above is the reason")
        self._updated = True

    def _versions(self, package: str) -> list[str]:
        """What the index lists, newest first."""
        command = self._apt("apt-cache", "showsrc", "--only-source", package)
        listed = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
        versions = set(re.findall(r"^Version: (\S+)$", listed, re.M))
        return sorted(versions, key=functools.cmp_to_key(compare_versions), reverse=True)

    def _download(self, package: str, version: str, directory: Path) -> bool:
        name = f"{package}={version}"
        options = ("--quiet", "--download-only", "--only-source", "source")
        command = self._apt("apt-get", *options, name)
        return subprocess.run(command, cwd=directory).returncode == 0

    def _apt(self, program: str, *arguments: str) -> list[str]:
        """An apt that sees nothing of the machine's state and leaves nothing there."""
        apt = self._cache / "apt"
        options = {
            "Dir::Etc::sourcelist": apt / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": apt / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": apt,
            "APT::Sandbox::User": "root",  # the directory is the caller's; _apt may not see it
        }
        return [program, *(f"-o{name}={value}" for name, value in options.items()), *arguments]


def unpack(source: Source, target: Path, skipped_patches: frozenset[str] = frozenset()) -> None:
    """Unpacks with Debian's patches, but for `skipped_patches` (names without suffix)."""
    some = ["--skip-patches"] if skipped_patches else []
    command = ["dpkg-source", "--no-check", *some, "--extract", str(source.dsc), str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if not skipped_patches:
        return
    patches = target / "debian" / "patches"
    for line in (patches / "series").read_text().splitlines():
        name = line.split("#", 1)[0].strip()
        if not name or name.rpartition(".")[0] in skipped_patches:
            continue
        patch = ["patch", "--strip=1", "--silent", "--force", f"--input={patches / name}"]
        done = subprocess.run(patch, cwd=target)
        if done.returncode != 0:
            raise BuildFault(
                f"{source.package}: Debian's patch {name} does not apply without those skipped; "
                "look whether it belongs to them"
            )


def mirror_of(archive: str) -> str:
    """The address from which this machine gets `debian` or `debian-security`."""
    files = [APT / "sources.list", *sorted((APT / "sources.list.d").glob("*"))]
    for path in files:
        text = path.read_text(errors="replace") if path.is_file() else ""
        found = re.search(rf"^[^#\n]*?(https?://\S+/{archive})/?(?=\s|$)", text, re.M)
        if found:
            return found.group(1)
    raise BuildFault(f"no mirror of {archive} is named in {APT}; build on a Debian")


def version_of(dsc: Path) -> str:
    """The version that a .dsc states."""
    found = re.search(r"^Version: (\S+)$", dsc.read_text(errors="replace"), re.M)
    return found.group(1) if found else ""


def compare_versions(left: str, right: str) -> int:
    """By Debian's rules, of which dpkg knows all."""
    if left == right:
        return 0
    command = ["dpkg", "--compare-versions", left, "lt", right]
    return -1 if subprocess.run(command).returncode == 0 else 1
