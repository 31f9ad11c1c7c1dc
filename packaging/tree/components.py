"""What is compiled for the tree: a table of Debian's sources, and how each is built.

A component lies in the cache under a name with the digest of everything that it is made from, and
is built again only when that changes. The libraries are static: each ends up in the one extension
module of CPython that uses it, so that nothing has to be found at run time.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import debian_source
from crosstools import Toolchain
from debian_source import Source, Sources
from faults import BuildFault

HOST = "x86_64-pc-linux-gnu"
OPTIMIZED = "-O2 -fPIC -fvisibility=hidden -g0"


@dataclass(frozen=True)
class Workshop:
    """Where one component is being built, and with what."""

    source: Path
    prefix: Path
    log: Path
    toolchain: Toolchain
    needs: dict[str, Path]  # the prefixes of the components that this one is built from

    def run(self, *command: str, **environment: str) -> None:
        """Runs a step in the source directory; what it prints goes to the log."""
        flags = {"CFLAGS": OPTIMIZED, "LDFLAGS": "-s", "SOURCE_ROOT": str(self.source)}
        given = self.toolchain.environment(**{**flags, **environment})
        with self.log.open("a") as log:
            print("$", *command, file=log, flush=True)
            done = subprocess.run(command, cwd=self.source, env=given, stdout=log, stderr=log)
        if done.returncode != 0:
            raise BuildFault(f"{command[0]} failed, status {done.returncode}; see {self.log}")

    def make(self, *arguments: str, **environment: str) -> None:
        """Runs make with as many jobs as there are processors."""
        self.run("make", f"-j{os.cpu_count()}", *arguments, **environment)

    def configure(self, *options: str, **environment: str) -> None:
        """Runs an autoconf script for a static library."""
        shape = ("--disable-shared", "--enable-static", "--with-pic", f"--host={HOST}")
        place = (f"--prefix={self.prefix}", f"--build={HOST}")
        self.run("./configure", *place, *shape, *options, **environment)

    def archive(self, name: str, sources: list[str], flags: tuple[str, ...], header: str) -> None:
        """Compiles a few files into libNAME.a and puts it and its header into the prefix."""
        own = (*OPTIMIZED.split(), *flags)
        for source in sources:
            self.run("cc", *own, "-c", source, "-o", f"{Path(source).stem}.o")
        objects = [f"{Path(source).stem}.o" for source in sources]
        for directory in ("lib", "include"):
            (self.prefix / directory).mkdir(parents=True, exist_ok=True)
        self.run("ar", "rcsD", str(self.prefix / "lib" / f"lib{name}.a"), *objects)
        for path in sorted(self.source.glob(header)):
            shutil.copy(path, self.prefix / "include")


@dataclass(frozen=True)
class Component:
    """One source package and the function that builds it."""

    name: str
    package: str
    build: Callable[[Workshop], None]
    needs: tuple[str, ...] = ()
    skipped_patches: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()  # more that the result depends on


@dataclass
class Built:
    """A finished component in the cache."""

    component: Component
    source: Source
    digest: str
    directory: Path
    prefix: Path = field(init=False)

    def __post_init__(self) -> None:
        self.prefix = self.directory / "prefix"


class Workbench:
    """Builds components in a cache, those they need first."""

    def __init__(
        self, cache: Path, sources: Sources, toolchain: Toolchain, table: dict[str, Component]
    ) -> None:
        self._cache, self._sources, self._toolchain = cache, sources, toolchain
        self._table = table
        self.built: dict[str, Built] = {}

    def bring(self, name: str) -> Built:
        """The component, built unless the cache has it; raises BuildFault."""
        if name in self.built:
            return self.built[name]
        component = self._table[name]
        needs = {need: self.bring(need) for need in component.needs}
        source = self._sources.get(component.package)
        parts = (
            self._toolchain.digest,
            source.digest,
            inspect.getsource(component.build),
            inspect.getsource(Workshop),
            OPTIMIZED,
            *sorted(component.skipped_patches),
            *component.texts,
            *(built.digest for built in needs.values()),
        )
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        directory = self._cache / f"{name}-{digest[:12]}"
        self.built[name] = Built(component, source, digest, directory)
        if not (directory / "done").exists():
            self._build(self.built[name], {need: built.prefix for need, built in needs.items()})
        return self.built[name]

    def _build(self, built: Built, needs: dict[str, Path]) -> None:
        directory = built.directory
        print(
            f"{built.component.name} {built.source.version}: compiling in {directory}", flush=True
        )
        shutil.rmtree(directory, ignore_errors=True)
        built.prefix.mkdir(parents=True)
        source = directory / "source"
        debian_source.unpack(built.source, source, built.component.skipped_patches)
        workshop = Workshop(source, built.prefix, directory / "log", self._toolchain, needs)
        built.component.build(workshop)
        copyright_ = source / "debian" / "copyright"
        shutil.copy(copyright_, directory / "copyright")
        shutil.rmtree(source)
        (directory / "done").touch()


def zlib(shop: Workshop) -> None:
    shop.run("./configure", "--static", f"--prefix={shop.prefix}")
    shop.make("libz.a")
    shop.run("make", "install")


def libffi(shop: Workshop) -> None:
    """Where there is no memfd_create it calls a function of its own that no header declares."""
    flags = f"{OPTIMIZED} -Wno-implicit-function-declaration"
    shop.configure("--disable-docs", "--disable-multi-os-directory", CFLAGS=flags)
    shop.make("install")


def bzip2(shop: Workshop) -> None:
    names = ("blocksort", "huffman", "crctable", "randtable", "compress", "decompress", "bzlib")
    flags = ("-D_FILE_OFFSET_BITS=64",)
    shop.archive("bz2", [f"{name}.c" for name in names], flags, "bzlib.h")


def xz(shop: Workshop) -> None:
    programs = ("xz", "xzdec", "lzmadec", "lzmainfo", "lzma-links", "scripts", "doc", "nls")
    shop.configure(*(f"--disable-{name}" for name in programs))
    shop.make("install")


def expat(shop: Workshop) -> None:
    """Without its configure script, which Debian's source has to be given first."""
    root = shop.source / "expat" / "lib"
    (root / "expat_config.h").write_text(
        "#define BYTEORDER 1234\n#define HAVE_SYSCALL_GETRANDOM 1\n#define XML_CONTEXT_BYTES 1024\n"
        "#define XML_DEV_URANDOM 1\n#define XML_DTD 1\n#define XML_GE 1\n#define XML_NS 1\n"
    )
    files = [f"expat/lib/{name}.c" for name in ("xmlparse", "xmlrole", "xmltok")]
    shop.archive("expat", files, ("-Iexpat/lib",), "expat/lib/expat*.h")


def sqlite(shop: Workshop) -> None:
    shop.run("./configure", f"--build={HOST}", f"--host={HOST}", "--disable-tcl", "BUILD_CC=cc")
    shop.run("make", "sqlite3.c")
    features = ("THREADSAFE=1", "ENABLE_COLUMN_METADATA", "ENABLE_FTS5", "ENABLE_MATH_FUNCTIONS")
    more = ("OMIT_LOAD_EXTENSION", "SECURE_DELETE", "USE_URI")
    flags = tuple(f"-DSQLITE_{name}" for name in (*features, *more))
    shop.archive("sqlite3", ["sqlite3.c"], flags, "sqlite3*.h")


def openssl(shop: Workshop) -> None:
    """The distribution's openssl.cnf is written for another release: it is not read."""
    left_out = ("shared", "tests", "engine", "module", "legacy", "ssl3", "autoload-config")
    shop.run(
        *("perl", "./Configure", "linux-x86_64", "--prefix=/usr", "--libdir=lib"),
        *("--openssldir=/etc/pki/tls", *(f"no-{name}" for name in left_out)),
    )
    shop.make("build_libs")
    shop.run("make", "install_dev", f"DESTDIR={shop.prefix}")
    for name in ("lib", "include"):
        shutil.move(shop.prefix / "usr" / name, shop.prefix / name)


TABLE = {
    component.name: component
    for component in (
        #         name       Debian's package  recipe
        Component("zlib", "zlib", zlib),
        Component("libffi", "libffi", libffi),
        Component("bzip2", "bzip2", bzip2),
        Component("xz", "xz-utils", xz),
        Component("expat", "expat", expat),
        Component("sqlite", "sqlite3", sqlite),
        Component("openssl", "openssl", openssl),
    )
}
