"""The rules of the source tree, kept by a machine: layers, purity, lengths, words, first lines.

A rule that is broken is reported as FILE:LINE with what to do, all breaches at once. Ruff and mypy
run beside this, in `make check`.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from source_scan import c_functions, cython_functions, python_functions

ROOT = Path(__file__).resolve().parent.parent

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

BOTTOM = {"client", "message", "config", "clock", "errors"}
MIDDLE = {"workers", "flow", "host", "images", "packages", "secrets", "cluster"}
# What each part of drop/ may import besides itself: what is below it.
LAYERS = {
    "cli": {"control", "node", "pools"} | MIDDLE | BOTTOM,
    "control": {"node", "pools"} | MIDDLE | BOTTOM,
    "node": {"pools"} | MIDDLE | BOTTOM,
    "workers": BOTTOM,
    "flow": {"images"} | BOTTOM,
    "host": BOTTOM,
    "images": BOTTOM,
    "packages": {"flow"} | BOTTOM,
    "secrets": BOTTOM,
    "cluster": {"host", "config_model"} | BOTTOM,
    "pools": MIDDLE | {"adapters"} | BOTTOM,
    "adapters": BOTTOM,  # programs of their own, run as workers
    "function": set(),  # what a function written in Python may import
    "client": {"errors", "clock", "message"},
    "config": {"errors", "config_model"},
    "config_model": {"errors"},
    "clock": set(),
    "errors": set(),
    "testing": {"control", "node", "pools"} | MIDDLE | BOTTOM,
}
# Below every layer: helpers that know nothing of the rest.
SHARED = {"document", "private", "problems", "validation"}
FAST_IMPORTERS = (
    "drop/_fast/*",
    "drop/client/*",
    "drop/node.py",
    "drop/cluster/discovery.py",
    "drop/pools/planned.py",
    "drop/workers/logs.py",
    "drop/workers/process.py",
    "drop/host/linux.py",
    "drop/cli/bench.py",
)
PURE = (
    "drop/flow/spec.py",
    "drop/flow/plan.py",
    "drop/workers/supervision.py",
    "drop/workers/exec_supervision.py",
    "drop/workers/containment.py",
    "drop/host/cgroup_tree.py",
    *(
        f"drop/host/tuning/{name}.py"
        for name in ("advice", "parameters", "plan", "socket_options", "judgement")
    ),
    "drop/host/interfaces.py",
    *(f"drop/cluster/{name}.py" for name in ("member", "member_table", "membership", "hosts")),
    *(f"drop/packages/{name}.py" for name in ("names", "globs", "content", "framing")),
    *(
        f"drop/images/{name}.py"
        for name in ("faults", "run_options", "reference", "settings", "account")
    ),
    *(
        f"drop/images/{name}.py"
        for name in ("image_config", "container", "oci", "seccomp", "launcher")
    ),
    *(
        f"drop/adapters/{name}.py"
        for name in ("jsonrpc", "mcp_events", "mcp_capabilities", "mcp_server", "mcp_session")
    ),
)
IMPURE_MODULES = {"asyncio", "socket", "os", "time", "random", "drop._fast", "drop.clock"}

# Unfinished work is finished or left out, never announced. Split so that this file may name them.
FORBIDDEN = re.compile(
    r"\bTO" r"DO\b|\bFIX" r"ME\b|\bXX" r"X\b|\bHA" r"CK\b|\bfor " r"now\b(?! in\b)"
)

# Sections of an object file; .data.rel.ro holds constant tables of pointers.
WRITABLE = re.compile(r"\.t?bss|\.tdata|\.data(?!\.rel\.ro)")


def tracked(*patterns: str) -> list[Path]:
    """The files of the tree that match, relative to ROOT, without what builds leave behind."""
    built = {"build", "dist", ".venv", "__pycache__", ".git"}
    found = {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(path for path in found if not built & set(path.parts) and (ROOT / path).is_file())


TREES = ("drop", "tests", "bench", "packaging")
PYTHON = tracked("*.py", ".ci/*.py", *(f"{tree}/**/*.py" for tree in TREES))
CYTHON = tracked("drop/**/*.pyx", "drop/**/*.pxd", "drop/**/*.pxi", "drop/**/*.pyi")
C = tracked("c_src/**/*.[ch]", "tests/**/*.[ch]", "bench/**/*.[ch]", "sdk/**/*.[ch]")
SCRIPTS = ("py", "c", "sh", "js", "mjs", "ts")
EXAMPLES = tracked(*(f"{tree}/**/*.{suffix}" for tree in ("examples", "sdk") for suffix in SCRIPTS))
OTHER = tracked("Makefile", "**/*.mk", ".ci/run", "pyproject.toml", "MANIFEST.in")
OTHER += [path for path in tracked("packaging/**/*") if path.suffix in ("", ".sh")]  # programs
CODE = [*PYTHON, *CYTHON, *C, *EXAMPLES, *OTHER]
PROSE = tracked("*.md", "docs/**/*.md", "examples/**/*.md", "packaging/**/*.md")
TESTS = [path for path in PYTHON if path.name.startswith("test_")]
MODULES = [path for path in PYTHON if path.parts[0] == "drop"]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of everything a module imports, wherever in it, also for types."""
    package = list(path.with_suffix("").parts)[:-1]
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def part_of(name: str) -> str:
    """`drop.client.frames` -> `client`; "" for what is not ours or is `drop` itself."""
    words = name.split(".")
    return words[1] if words[0] == "drop" and len(words) > 1 else ""


def starts_with(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def report(breaches: list[str]) -> None:
    if breaches:
        pytest.fail("\n".join(breaches), pytrace=False)


def test_imports_point_down() -> None:
    breaches = []
    for path in MODULES:
        here = part_of(".".join(path.with_suffix("").parts))
        if here in SHARED | {"_fast", "__init__"}:
            continue
        allowed = LAYERS.get(here)
        if allowed is None:
            breaches.append(f"{path}: `{here}` has no place in LAYERS of {Path(__file__).name}")
            continue
        for line, name in imports_of(path):
            part = part_of(name)
            if part and part not in allowed | SHARED | {here, "_fast", "__version__"}:
                breaches.append(f"{path}:{line}: {here} must not import {name}")
    report(breaches)


def test_shared_helpers_import_nothing_above_them() -> None:
    breaches = []
    for path in (Path("drop", f"{name}.py") for name in sorted(SHARED)):
        if not (ROOT / path).exists():
            continue
        for line, name in imports_of(path):
            if part_of(name) not in SHARED | {"", "errors"}:
                breaches.append(f"{path}:{line}: a shared helper must not import {name}")
    report(breaches)


def test_native_code_is_imported_in_named_places_only() -> None:
    breaches = [
        f"{path}:{line}: {name} may be imported by {', '.join(FAST_IMPORTERS)} only"
        for path in MODULES
        if not any(path.match(pattern) for pattern in FAST_IMPORTERS)
        for line, name in imports_of(path)
        if starts_with(name, {"drop._fast"})
    ]
    report(breaches)


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_decide_and_do_nothing(name: str) -> None:
    """Also what they import of ours, so that nothing impure comes in by a detour; the errors, which
    name a type of path from `os`, are taken as they are."""
    waiting, seen, breaches = [Path(name)], {Path("drop/errors.py")}, []
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for line, imported in imports_of(path):
            if starts_with(imported, IMPURE_MODULES):
                breaches.append(f"{path}:{line}: {name} is pure, this imports {imported}")
            module = module_path(imported)
            if module is not None and module not in seen:
                waiting.append(module)
    report(sorted(set(breaches)))


def module_path(name: str) -> Path | None:
    """The file of `drop.a.b` or of the `drop.a` that has a name `b`; None if it is not ours."""
    words = name.split(".")
    for count in (len(words), len(words) - 1):
        path = Path(*words[:count]).with_suffix(".py") if count > 1 else None
        if words[0] == "drop" and path is not None and (ROOT / path).exists():
            return path
    return None


def test_files_are_short_and_narrow() -> None:
    breaches = []
    for path in CODE:
        lines = text_of(path).splitlines()
        if len(lines) > FILE_LINES_MAX:
            breaches.append(f"{path}: {len(lines)} lines, at most {FILE_LINES_MAX}; split it")
        breaches += [
            f"{path}:{number}: {len(line)} columns, at most {COLUMNS_MAX}"
            for number, line in enumerate(lines, 1)
            if len(line) > COLUMNS_MAX
        ]
    report(breaches)


def test_functions_are_short() -> None:
    scanners = {".py": python_functions, ".c": c_functions, ".h": c_functions}
    breaches = [
        f"{path}:{function.line}: {function.name} has {function.lines} lines, "
        f"at most {FUNCTION_LINES_MAX}"
        for path in CODE
        if path.suffix in {".py", ".c", ".h", ".pyx", ".pxi"}
        for function in scanners.get(path.suffix, cython_functions)(text_of(path))
        if function.lines > FUNCTION_LINES_MAX
    ]
    report(breaches)


def test_files_start_with_their_idea() -> None:
    breaches = []
    for path in [path for path in CODE if path.suffix != ".pyi"]:  # a .pyi says what its .pyx says
        lines = [line for line in text_of(path).splitlines() if line and not line.startswith("#!")]
        first = lines[0].lstrip() if lines else ""
        if not first.startswith(('"""', 'r"""', "#", "/*", "//", "'use strict'")):
            breaches.append(f"{path}:1: starts with neither a docstring nor a comment")
    report(breaches)


def test_nothing_is_left_for_later() -> None:
    breaches = [
        f"{path}:{number}: `{found.group()}`: do it, or leave it out"
        for path in [*CODE, *PROSE]
        for number, line in enumerate(text_of(path).splitlines(), 1)
        for found in FORBIDDEN.finditer(line)
    ]
    report(breaches)


def calls_of(function: ast.AST) -> Iterator[str]:
    """The last names of what a function calls: `raises` for `pytest.raises(...)`."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            target = node.func
            yield target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def asserting_functions(tree: ast.Module) -> set[str]:
    """The functions of a module that assert, or call one that does."""
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    known = {"raises", "warns", "fail", "report", "until"}
    known |= {
        node.name
        for node in functions
        if any(isinstance(child, ast.Assert) for child in ast.walk(node))
    }
    while True:
        more = {
            node.name
            for node in functions
            if any(n in known or n.startswith(("assert_", "check_")) for n in calls_of(node))
        }
        if more <= known:
            return known
        known |= more


def test_every_test_asserts_something() -> None:
    breaches = []
    for path in TESTS:
        tree = ast.parse(text_of(path))
        asserting = asserting_functions(tree)
        breaches += [
            f"{path}:{node.lineno}: {node.name} asserts nothing"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and node.name not in asserting
        ]
    for path in tracked("tests/c/test_*.c"):
        text = text_of(path)
        lines = text.splitlines()
        for function in c_functions(text):
            body = "\n".join(lines[function.line - 1 : function.line - 1 + function.lines])
            checks = re.search("CHECK|REQUIRE|_UNTIL|check_", body)
            if function.name.startswith("test_") and not checks:
                breaches.append(f"{path}:{function.line}: {function.name} checks nothing")
    report(breaches)


def test_tests_do_not_sleep() -> None:
    """They wait for the event; `asyncio.sleep(0)`, a turn of the loop, is no waiting."""
    breaches = []
    for path in [path for path in PYTHON if path.parts[0] == "tests"]:
        for node in ast.walk(ast.parse(text_of(path))):
            if not (isinstance(node, ast.Call) and next(calls_of(node)) == "sleep"):
                continue
            turn = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not turn:
                breaches.append(f"{path}:{node.lineno}: sleeps; wait for the event instead")
    report(breaches)


def test_c_knows_nothing_of_python() -> None:
    breaches = [
        f"{path}:{number}: c_src is plain C"
        for path in C
        if path.parts[0] == "c_src"
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if re.search(r"#\s*include\s*[<\"]Python\.h", line)
    ]
    report(breaches)


@pytest.mark.parametrize("source", tracked("c_src/*.c"), ids=str)
def test_c_has_prefixed_names_and_no_globals(source: Path) -> None:
    """Asked of the object file: what it exports, and what it keeps in writable memory."""
    built = Path("build", "release", f"{source.stem}.o")
    if not (ROOT / built).exists():
        pytest.skip(f"{source} is part of no extension that has been built")
    command = ["objdump", "--syms", str(built)]
    table = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    breaches = []
    # address, seven columns of flags, section, TAB, size, name
    for flags, section, name in re.findall(r"^[0-9a-f]+ (.{7}) (\S+)\t\S+ (\S+)$", table, re.M):
        if "O" in flags and WRITABLE.match(section):
            breaches.append(f"{source}: {name} is a global variable ({section})")
        if flags.startswith("g") and section != "*UND*" and not name.startswith("drop_"):
            breaches.append(f"{source}: {name} is exported without the prefix drop_")
    report(breaches)
