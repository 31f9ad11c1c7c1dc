"""Builds the native extensions and programs: tables say what is in each and how a mode compiles.

    python build_ext.py [--mode release|debug|sanitize] [NAME ...]        no NAME: all of them

release    into drop/_fast/, where the tree and an editable install find them
debug      into build/debug/site/, a tree of links to drop/ with its own extensions;
sanitize   into build/sanitize/site/; run with PYTHONPATH=build/MODE/site

Every mode has its own objects in build/MODE/. A step runs again when its command changed or a file
it read is newer; the compilers themselves list those files (-MD, cython -M). Our C and generated
C have different flags: the warnings that we hold our own code to are noise in Cython's.

setuptools (pip install ., python -m build) comes in through Command; DROP_BUILD_MODE picks a mode.
CC, CFLAGS, CPPFLAGS and LDFLAGS from the environment are honoured, after our own.
"""

from __future__ import annotations

import argparse
import fcntl
import fnmatch
import importlib.metadata
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension
from setuptools.command.build_ext import build_ext as setuptools_build_ext

ROOT = Path(__file__).resolve().parent
PACKAGE = "drop._fast"
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")


@dataclass(frozen=True)
class Native:
    """One extension module: the file that binds it, and the files of c_src that it contains.

    Or a program of its own, whose `source` is the C file with its main.
    """

    name: str
    source: str  # NAME.pyx, a cffi builder that leaves an `ffibuilder`, or NAME.c
    c_files: tuple[str, ...]  # names in c_src without .c, or patterns; "-pattern" takes files out

    @property
    def is_program(self) -> bool:
        """Whether it is started instead of imported."""
        return self.source.endswith(".c")

    @property
    def file_name(self) -> str:
        """What it is called in drop/_fast/."""
        return self.name if self.is_program else f"{self.name}{SUFFIX}"

    def c_paths(self) -> list[Path]:
        """The C files, relative to ROOT; a pattern is resolved against what is on disk."""
        names: set[str] = set()
        on_disk = [path.stem for path in (ROOT / "c_src").glob("*.c")]
        for pattern in self.c_files:
            if pattern.startswith("-"):
                names -= set(fnmatch.filter(names, pattern[1:]))
            else:
                names |= set(fnmatch.filter(on_disk, pattern)) if "*" in pattern else {pattern}
        return [Path("c_src", f"{name}.c") for name in sorted(names)]


BEACONS = ("blake2s", "beacon", "peer*", "herald*")
STARTING = ("spawn*", "program", "recipe*", "confine*", "cgroup*")  # of processes
NO_REACTOR = ("-log*", "-load*", "-lambda*", *(f"-{pattern}" for pattern in BEACONS))

EXTENSIONS = (
    #      name       binding                        files of c_src
    Native("reactor", "drop/_fast/reactor.pyx", ("*", *NO_REACTOR)),
    Native("codec", "drop/_fast/codec.pyx", ()),
    Native("logger", "drop/_fast/logger.pyx", ("log*",)),
    Native("spawn", "drop/_fast/spawn.pyx", STARTING),
    Native("load", "drop/_fast/load.pyx", ("load*", "histogram")),
    Native("herald", "drop/_fast/herald.pyx", BEACONS),
    Native("_linux", "drop/_fast/linux_build.py", ()),
)
PROGRAMS = (
    #      name           main                             files of c_src
    Native("drop-lambda", "c_src/programs/drop-lambda.c", ("lambda*",)),
    Native("drop-enclose", "c_src/programs/drop-enclose.c", ()),
)
TABLE = {native.name: native for native in (*EXTENSIONS, *PROGRAMS)}


@dataclass(frozen=True)
class Mode:
    """How a build differs from the others. The debug ones check more and count what is open."""

    common: tuple[str, ...]  # every compilation and the link
    ours: tuple[str, ...] = ()  # our C only
    cython: tuple[str, ...] = ()


CHECKED = ("-DDROP_LEAK_COUNTERS=1", "-fno-omit-frame-pointer")
CHECK_BOUNDS = ("-X", "boundscheck=True", "-X", "initializedcheck=True")

MODES = {
    "release": Mode(
        common=("-O2", "-g1", "-DNDEBUG"),
        cython=("-X", "boundscheck=False", "-X", "initializedcheck=False"),
    ),
    "debug": Mode(common=("-O1", "-g", *CHECKED), cython=CHECK_BOUNDS),
    "sanitize": Mode(
        common=("-O1", "-g", *CHECKED, "-fsanitize=address"),
        # Cython's own code is not free of what UBSan reports, so only ours is held to it.
        ours=("-fsanitize=undefined", "-fno-sanitize-recover=undefined"),
        cython=CHECK_BOUNDS,
    ),
}

SHARED_OBJECT = ("-fPIC", "-fvisibility=hidden", "-pthread")
# Behind the system's directories: c_src/limits.h must not stand in for <limits.h>, as it would
# with -I, and with -iquote too (gcc's own <limits.h> goes on with an include_next that finds it).
# That makes ours system headers, which -MMD would not list; hence -MD.
HEADERS = ("-idirafter", "c_src")
OURS = ("-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror")
GENERATED = ("-Wall", "-Wno-unused-function", "-fno-strict-aliasing", "-fwrapv")
# What emits C from a cffi builder; the builder must not import drop, which is not built yet.
EMIT_CFFI = "import runpy, sys; runpy.run_path(sys.argv[1])['ffibuilder'].emit_c_code(sys.argv[2])"


class BuildError(Exception):
    """An extension could not be built; the text says which one, which step and what to do."""


@dataclass(frozen=True)
class Step:
    """One command with one output file, skipped when nothing that it depends on has changed."""

    output: Path
    command: tuple[str, ...]
    inputs: tuple[Path, ...]
    depfile: Path | None = None  # written by the command, in Make's syntax
    version: str = ""  # of the tool, where the command line does not say it

    def run(self) -> None:
        """Runs the command unless its output is fresh; raises BuildError."""
        for path in self.inputs:
            if not (ROOT / path).exists():
                raise BuildError(f"{path}: no such file; {self.output.name} is made from it")
        record = ROOT / f"{self.output}.command"
        text = f"{shlex.join(self.command)}\n{self.version}\n"
        if record.exists() and record.read_text() == text and self._is_fresh():
            return
        (ROOT / self.output).parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        print(f"{shlex.join(self.command)}\n", end="", flush=True)  # in one piece, from any thread
        try:
            status = subprocess.run(self.command, cwd=ROOT).returncode
        except OSError as error:
            raise BuildError(
                f"{self.command[0]}: {error.strerror}; install it, or set CC"
            ) from None
        if status != 0:
            raise BuildError(f"{self.inputs[0]}: {self.command[0]} failed, status {status}")
        record.write_text(text)

    def _is_fresh(self) -> bool:
        try:
            made = (ROOT / self.output).stat().st_mtime_ns
            return all((ROOT / path).stat().st_mtime_ns <= made for path in self._dependencies())
        except FileNotFoundError:
            return False

    def _dependencies(self) -> list[Path]:
        if self.depfile is None:
            return list(self.inputs)
        words = (ROOT / self.depfile).read_text().replace("\\\n", " ").split(":", 1)[1]
        return [Path(word) for word in words.split()]


def build(name: str, mode: str, target: Path) -> None:
    """Brings `name` of the tables up to date and puts it at `target`; raises BuildError."""
    native = TABLE[name]
    work = Path("build", mode)
    with locked(mode):
        if native.is_program:
            compilations = [compile_ours(Path(native.source), work)]
        else:
            generate(native, work).run()
            compilations = [compile_generated(native, work)]
        compilations += [compile_ours(path, work) for path in native.c_paths()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(Step.run, compilations))
        made = work / native.file_name
        shape = "-pie" if native.is_program else "-shared"
        link(made, [step.output for step in compilations], MODES[mode], shape).run()
        place(ROOT / made, target)


def generate(native: Native, work: Path) -> Step:
    """The step that writes the C of a binding."""
    source, output = Path(native.source), work / f"{native.name}.c"
    if source.suffix == ".pyx":
        options: tuple[str, ...] = (
            "-3",
            "-M",
            "--module-name",
            f"{PACKAGE}.{native.name}",
            "-I",
            ".",
        )
        options += MODES[work.name].cython
        cython = (sys.executable, "-m", "cython", *options, str(source), "-o", str(output))
        return Step(output, cython, (source,), Path(f"{output}.dep"), version_of("cython"))
    command = (sys.executable, "-c", EMIT_CFFI, str(source), str(output))
    return Step(output, command, (source,), version=version_of("cffi"))


def compile_generated(native: Native, work: Path) -> Step:
    """The step that compiles the C of a binding; it alone sees Python.h."""
    python = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    includes = (*HEADERS, *(f"-I{path}" for path in sorted(python)))
    source = work / f"{native.name}.c"
    flags = (*GENERATED, *MODES[work.name].common, *includes)
    return compile_step(source, work / f"{native.name}.binding.o", flags)


def compile_ours(source: Path, work: Path) -> Step:
    """The step that compiles a file of c_src; the object is shared by the extensions of a mode."""
    mode = MODES[work.name]
    flags = (*OURS, *mode.common, *mode.ours, *HEADERS)
    return compile_step(source, work / f"{source.stem}.o", flags)


def compile_step(source: Path, output: Path, flags: tuple[str, ...]) -> Step:
    """One call of the C compiler, which also lists the headers it read."""
    depfile = output.with_suffix(".d")
    extra = (*words_of("CPPFLAGS"), *words_of("CFLAGS"))
    command = (*compiler(), *SHARED_OBJECT, *flags, *extra, "-MD", "-MF", str(depfile))
    return Step(output, (*command, "-c", str(source), "-o", str(output)), (source,), depfile)


def link(output: Path, objects: list[Path], mode: Mode, shape: str) -> Step:
    """The step that makes the shared object, or the program."""
    flags = (shape, "-pthread", *mode.common, *mode.ours, *words_of("LDFLAGS"))
    names = [str(path) for path in objects]
    command = (*compiler(), *flags, *names, "-lm", "-o", str(output))
    return Step(output, command, tuple(objects))


def place(made: Path, target: Path) -> None:
    """Puts a copy at `target` in one step: a running process may have the old one mapped."""
    if target.exists() and target.read_bytes() == made.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_bytes(made.read_bytes())
    temporary.chmod(0o755)
    temporary.replace(target)


def link_tree(site: Path) -> None:
    """Makes SITE/drop a mirror of drop/ by links, but for the extensions, which are its own."""
    fast = site / "drop" / "_fast"
    fast.mkdir(parents=True, exist_ok=True)
    for source, mirror in ((ROOT / "drop", site / "drop"), (ROOT / "drop" / "_fast", fast)):
        for entry in mirror.iterdir():
            if entry.is_symlink() and not entry.exists():
                entry.unlink()
        for entry in source.iterdir():
            own = entry.name in ("_fast", "__pycache__", *TABLE) or entry.suffix == ".so"
            if not own and not (mirror / entry.name).is_symlink():
                (mirror / entry.name).symlink_to(entry)


def target_of(name: str, mode: str) -> Path:
    """Where the in-place build of a mode puts an extension or program."""
    site = ROOT if mode == "release" else ROOT / "build" / mode / "site"
    return site / "drop" / "_fast" / TABLE[name].file_name


@contextmanager
def locked(mode: str) -> Iterator[None]:
    """Lets one process at a time build a mode; others wait for it."""
    directory = ROOT / "build" / mode
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compiler() -> list[str]:
    """The C compiler: CC from the environment, else cc."""
    return words_of("CC") or ["cc"]


def words_of(variable: str) -> list[str]:
    """An environment variable split as a shell would."""
    return shlex.split(os.environ.get(variable, ""))


def version_of(package: str) -> str:
    """The version of a build tool; raises BuildError when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(
            f"{package} is not installed; `{sys.executable} -m pip install {package}`"
            " or build with `make setup`"
        ) from None


def setuptools_extensions() -> list[Extension]:
    """The table as setuptools wants it; Command builds from the table itself."""
    return [Extension(f"{PACKAGE}.{name}", sources=[]) for name in TABLE]


class Command(setuptools_build_ext):
    """setuptools' build_ext, with our way of building one extension, and with programs."""

    def get_ext_filename(self, fullname: str) -> str:
        """Where `fullname` goes below a root; asked for last parts of names, too."""
        *packages, name = fullname.split(".")
        native = TABLE.get(name)
        if native is None or not native.is_program:
            return str(super().get_ext_filename(fullname))  # type: ignore[no-untyped-call]
        return os.path.join(*packages, native.file_name)

    def build_extension(self, ext: Extension) -> None:
        """Builds `ext` where setuptools wants it."""
        name = ext.name.rpartition(".")[2]
        mode = os.environ.get("DROP_BUILD_MODE", "release")
        try:
            build(name, mode, (ROOT / self.get_ext_fullpath(ext.name)).resolve())
        except BuildError as error:
            if not self.editable_mode:
                raise SystemExit(f"build_ext: {ext.name}: {error}") from None
            # A work tree stays installable while one extension is being worked on: importing
            # that one says what is missing.
            ext.optional = True
            self.warn(f"{ext.name} is not built: {error}")


def main() -> int:
    """Builds in place what the command line names; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(description="Build the native extensions in place.")
    parser.add_argument("--mode", choices=MODES, default="release")
    parser.add_argument("names", metavar="NAME", nargs="*", help="what to build; none: everything")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in TABLE:
            parser.error(f"unknown name {name!r}; there are {', '.join(TABLE)}")
    failed = 0
    for name in arguments.names or TABLE:
        try:
            build(name, arguments.mode, target_of(name, arguments.mode))
        except BuildError as error:
            failed += 1
            print(f"build_ext: {PACKAGE}.{name}: {error}", file=sys.stderr)
    if arguments.mode != "release":
        link_tree(ROOT / "build" / arguments.mode / "site")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
