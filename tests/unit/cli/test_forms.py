"""Both ways in agree: the quick one runs what typer would run, or leaves it alone."""

import inspect
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from drop.cli import quick
from drop.cli.commands import PARAMETERS, SUMMARIES, build
from drop.cli.forms import ALIASES, COMMANDS
from drop.cli.quick import CONVERTERS, read


@pytest.mark.parametrize("path", COMMANDS)
def test_every_parameter_is_described_and_convertible(path: str) -> None:
    form = COMMANDS[path]
    function = form.load()
    assert path in SUMMARIES
    for name, parameter in inspect.signature(function).parameters.items():
        assert f"{path}.{name}" in PARAMETERS or name in PARAMETERS
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.annotation == "bool" or parameter.annotation in CONVERTERS
    needs = {"json", "address", "token_file"}
    if path == "mcp":  # what it writes is not ours to choose
        needs -= {"json"}
    if path.startswith("fun ") or path in ("doctor", "key show", "tune"):  # ask no node
        needs = {"json"}
    assert needs <= set(inspect.signature(function).parameters)


@pytest.mark.parametrize("path", [*COMMANDS, *ALIASES])
def test_typer_builds_every_command(path: str) -> None:
    result = CliRunner().invoke(build([].append), [*path.split(" "), "--help"])
    assert result.exit_code == 0
    assert SUMMARIES[ALIASES.get(path, path)].split(".")[0][:30] in result.output


def test_aliases_are_hidden() -> None:
    output = CliRunner().invoke(build([].append), ["--help"]).output
    assert "flow_start" not in output
    assert "subscribe" in output


ANNOTATIONS = {"pool": "str", "message": "str | None", "timeout": "float | None", "json": "bool",
               "token_file": "Path | None", "count": "int"}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("p", {"pool": "p"}),
        ("p m", {"pool": "p", "message": "m"}),
        ("p -", {"pool": "p", "message": "-"}),
        ("p -- --json", {"pool": "p", "message": "--json"}),
        ("-- p --", {"pool": "p", "message": "--"}),
        ("--timeout 1.5 p", {"timeout": 1.5, "pool": "p"}),
        ("p --timeout=2 --json", {"pool": "p", "timeout": 2.0, "json": True}),
        ("p --token-file f", {"pool": "p", "token_file": Path("f")}),
        ("p --count=3 m", {"pool": "p", "count": 3, "message": "m"}),
    ],
)
def test_plain_lines_are_read(line: str, values: dict[str, object]) -> None:
    assert read(line.split(), ("pool", "message"), ANNOTATIONS) == values


@pytest.mark.parametrize(
    "line",
    ["p m x", "--help", "p --nope", "p --timeout", "p --timeout x", "p --count 1.5", "p -x",
     "p --json=1", "p --token_file f", "--pool p", "p -5", "p --return=1"],
)  # fmt: skip
def test_everything_else_is_left_to_typer(line: str) -> None:
    assert read(line.split(), ("pool", "message"), ANNOTATIONS) is None


def test_a_missing_positional_is_left_to_typer() -> None:
    assert quick.parse(["call"]) is None
    assert quick.parse([]) is None
    assert quick.parse(["flow"]) is None
    assert quick.parse(["nonsense", "x"]) is None
    assert quick.parse(["call", "pool"]) is not None
    assert quick.parse(["flow", "list"]) is not None
    assert quick.parse(["flow_list"]) is not None


def test_the_quick_way_does_not_import_typer() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from drop.cli import quick; assert quick.parse(['call', 'p', 'm']);"
        "print([m for m in ('typer', 'rich', 'asyncio', 'drop.cli.commands') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


def test_commands_is_a_typer_application() -> None:
    assert isinstance(build([].append), typer.Typer)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_guide_names_every_command_with_its_options(path: str) -> None:
    guide = Path(__file__).parents[3] / "docs" / "cli.md"
    rows = [row for row in guide.read_text().splitlines() if row.startswith(f"| `drop {path} ")]
    assert len(rows) == 1
    form = COMMANDS[path]
    options = inspect.signature(form.load()).parameters.keys() - set(form.positionals)
    common = {"json", "address", "token_file"}
    shown = set(re.findall(r"--([a-z0-9-]+)", rows[0]))
    if re.search(r"\bA`", rows[0]):
        shown |= {name.replace("_", "-") for name in common}
    assert shown == {name.replace("_", "-") for name in options}
