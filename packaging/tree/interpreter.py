"""CPython for the tree: configured to see nothing of this machine, stripped to what a node uses.

It finds its library beside itself wherever it is moved, as CPython does by nature. The places where
it was built are taken out of what it knows of its own build.
"""

from __future__ import annotations

import pprint
import re
import runpy
import shutil
import subprocess
from pathlib import Path

from components import HOST, Component, Workshop
from faults import BuildFault

VERSION = "3.11"
LIBRARIES = ("zlib", "libffi", "bzip2", "xz", "expat", "sqlite", "openssl")
# Those modules need a library that not every distribution has, or that nobody has any more.
DISABLED = (
    *("_tkinter", "_curses", "_curses_panel", "_gdbm", "_dbm", "_uuid", "_crypt"),
    *("nis", "ossaudiodev", "readline"),
)
REQUIRED = ("_bz2", "_ctypes", "_hashlib", "_lzma", "_sqlite3", "_ssl", "pyexpat", "zlib")
# Of lib/python3.11: what nothing that runs without a person at a keyboard imports.
LEFT_OUT = (
    *("test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3"),
    *("pydoc_data", "distutils", "__phello__", "venv", "site-packages", f"config-{VERSION}-*"),
)
# Debian's own arrangement of directories and its test machines; the repairs are all applied.
SKIPPED_PATCHES = frozenset(
    (
        *("deb-setup", "deb-locations", "distutils-install-layout", "locale-module"),
        *("distutils-link", "distutils-sysconfig", "sysconfig-debian-schemes", "tkinter-import"),
        *("gdbm-import", "link-opt", "setup-modules", "profiled-build", "langpack-gettext"),
        *("disable-sem-check", "lib-argparse", "ctypes-arm", "multiarch", "multiarch-extname"),
        *("lib2to3-no-pickled-grammar", "ext-no-libpython-link", "test-no-random-order"),
        *("tempfile-minimal", "disable-some-tests", "ensurepip-disabled", "pydoc-use-pager"),
        *("mangle-fstack-protector", "local-doc-references", "doc-build-texinfo"),
        *("argparse-no-shutil", "sysconfigdata-name", "hurd_kfreebsd_thread_native_id", "sphinx3"),
        "destshared-location",
    )
)
# setup.py looks for libraries in the system's directories too; it shall not. It forgets a macro
# that pyexpat needs with an expat of its own. And the headers declare memfd_create whatever the C
# library has, which is enough for configure, but not for the linker.
EDITS = (
    #  file, what is there once, what takes its place
    ("setup.py", "self.add_multiarch_paths()\n", "pass\n"),
    ("setup.py", "'/lib64', '/usr/lib64', '/lib', '/usr/lib'", ""),
    ("setup.py", "system_include_dirs = ['/usr/include']", "system_include_dirs = []"),
    ("setup.py", "add_dir_to_list(self.compiler.library_dirs, '/usr/local/lib')", "pass"),
    ("setup.py", "add_dir_to_list(self.compiler.include_dirs, '/usr/local/include')", "pass"),
    (
        "setup.py",
        "Extension('pyexpat', sources=['pyexpat.c'])",
        "Extension('pyexpat', ['pyexpat.c'], define_macros=[('Py_BUILD_CORE_MODULE', '1')])",
    ),
    (
        "Modules/posixmodule.c",
        "fd = memfd_create(bytes, flags);",
        "fd = (int)syscall(SYS_memfd_create, bytes, flags);",
    ),
)


def cpython(shop: Workshop) -> None:
    """The interpreter, its library and its headers in PREFIX/{bin,lib,include}."""
    edit(shop.source)
    local = shop.source / "Modules" / "Setup.local"
    local.write_text("\n".join(("*disabled*", *DISABLED, "")))
    needs = list(shop.needs.values())
    shop.run(
        *("./configure", "--prefix=/usr", f"--build={HOST}", f"--host={HOST}"),
        *("--without-ensurepip", "--disable-test-modules", "--without-static-libpython"),
        *("--with-system-ffi", "--with-system-expat", "--with-dbmliborder=", "PKG_CONFIG="),
        f"--with-openssl={shop.needs['openssl']}",
        CFLAGS="-fPIC -g0",  # it adds -O3 and its own visibility
        CPPFLAGS=" ".join(f"-I{prefix / 'include'}" for prefix in needs),
        LDFLAGS=" ".join(("-s", *(f"-L{prefix / 'lib'}" for prefix in needs))),
    )
    # Of configure's own flags: CFLAGS from the environment would come behind them once more.
    shop.make("BUILD_DATE=Jan 01 2026", "BUILD_TIME=00:00:00", CFLAGS="", LDFLAGS="")
    staging = shop.source / "staging"
    shop.run("make", "install", f"DESTDIR={staging}", "ENSUREPIP=no", CFLAGS="", LDFLAGS="")
    for name in ("bin", "lib", "include"):
        shutil.move(staging / "usr" / name, shop.prefix / name)
    trim(shop.prefix)
    forget_places(shop.prefix, [shop.source, *needs])
    check_modules(shop.prefix / "bin" / "python3")


def edit(root: Path) -> None:
    """Makes the EDITS; raises BuildFault where CPython is no longer what they were made for."""
    for name, before, after in EDITS:
        path = root / name
        text = path.read_text()
        if text.count(before) != 1:
            raise BuildFault(f"{path}: {before!r} is not there once; look how CPython has changed")
        path.write_text(text.replace(before, after))


def trim(prefix: Path) -> None:
    """Removes what the tree does not need."""
    for path in (prefix / "bin").iterdir():
        if path.name != f"python{VERSION}":
            path.unlink()
    (prefix / "bin" / f"python{VERSION}").rename(prefix / "bin" / "python3")
    library = prefix / "lib" / f"python{VERSION}"
    for name in LEFT_OUT:
        for path in list(library.glob(name)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in list(library.rglob("__pycache__")):
        shutil.rmtree(path)
    shutil.rmtree(prefix / "lib" / "pkgconfig")
    (library / "site-packages").mkdir()


def forget_places(prefix: Path, places: list[Path]) -> None:
    """Takes words that name a place of the build out of what sysconfig answers."""
    found = list((prefix / "lib" / f"python{VERSION}").glob("_sysconfigdata_*.py"))
    if len(found) != 1:
        raise BuildFault(f"{prefix}: {len(found)} files _sysconfigdata_*.py, expected one")
    values: dict[str, object] = runpy.run_path(str(found[0]))["build_time_vars"]
    pattern = re.compile("|".join(rf"\S*{re.escape(str(place))}\S*" for place in places))
    clean = {
        name: " ".join(pattern.sub("", value).split()) if isinstance(value, str) else value
        for name, value in sorted(values.items())
    }
    text = pprint.pformat(clean, width=100)
    found[0].write_text(
        f"# What CPython was built with; places are left out.\nbuild_time_vars = {text}\n"
    )


def check_modules(python: Path) -> None:
    """CPython's build goes on without a module that it cannot build; ours does not."""
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    done = subprocess.run([python, "-I", "-c", code, *REQUIRED], env={"LC_ALL": "C.UTF-8"})
    if done.returncode != 0:
        raise BuildFault(f"{python}: lacks a module; see the log of the build beside it")


CPYTHON = Component(
    "cpython",
    "python3.11",
    cpython,
    needs=LIBRARIES,
    skipped_patches=SKIPPED_PATCHES,
    texts=(Path(__file__).read_text(),),
)
