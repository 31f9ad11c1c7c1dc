"""Packages in flows: what the flow says wins, the rest comes from the package."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from drop.errors import ConfigurationError
from drop.flow.load import parse_flow
from drop.flow.plan import changes, wiring
from drop.flow.spec import LoadedFlow
from drop.packages.faults import PackageError
from drop.packages.names import Reference
from drop.packages.resolve import latest, references, resolve, users, with_packages
from drop.packages.store import PackageStore
from packages_tools import make_directory, pack

YAML = """name: hello
version: {version}
cmd: ./main --fast
kind: {kind}
timeout: 500
memory: 64
env: {{A: package, B: package}}
env_file: defaults.env
"""


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    store = PackageStore(tmp_path / "var")
    for version, kind in (("1.0.0", "line"), ("1.1.0", "async"), ("1.2.0", "stream")):
        source = make_directory(
            tmp_path / version,
            {"main": b"#!/bin/sh\n"},
            yaml=YAML.format(version=version, kind=kind),
        )
        (source / "main").chmod(0o755)
        store.install(io.BytesIO(pack(source)), "x")
    return store


def flow(*functions: str) -> LoadedFlow:
    text = "name: f\nfunc:\n" + "".join(f"  - {{{each}}}\n" for each in functions)
    return parse_flow(text.encode(), "/flows/f.yaml")


def fault(loaded: LoadedFlow, store: PackageStore) -> str:
    with pytest.raises(ConfigurationError) as error:
        with_packages(loaded, store)
    return str(error.value)


def test_resolving(store: PackageStore) -> None:
    files = str(store.directory / "hello/1.0.0/files")
    found = resolve(store, "hello:1.0.0")
    assert (found.name, found.version, found.kind) == ("hello", "1.0.0", "line")
    assert found.cmd == (f"{files}/main", "--fast")
    assert found.cwd == found.files == files
    assert found.function.env_file == (f"{files}/defaults.env",)
    assert resolve(store, "hello").version == latest(store, "hello") == "1.2.0"
    with pytest.raises(PackageError, match="names no package"):
        resolve(store, "../x")


def test_a_flow_takes_what_it_does_not_say_from_the_package(store: PackageStore) -> None:
    """Also where it says the default: it says it."""
    loaded = flow(
        "name: p, package: 'hello:1.0.0', timeout: 30000, env: {B: flow}, env_file: [f.env]"
    )
    function = with_packages(loaded, store).spec.func[0]
    assert function.name == "p"
    assert function.cmd[0].endswith("hello/1.0.0/files/main")
    assert (function.timeout, function.memory, function.kind) == (30000, 64, "line")
    assert function.env == {"A": "package", "B": "flow"}
    assert [Path(each).name for each in function.env_file] == ["defaults.env", "f.env"]
    assert function.cwd == str(store.directory / "hello/1.0.0/files")


def test_a_flows_own_command_runs_in_the_package(store: PackageStore) -> None:
    loaded = with_packages(flow("name: p, package: 'hello:1.0.0', cmd: './main --slow'"), store)
    pool = wiring([loaded]).pools["p"]
    files = str(store.directory / "hello/1.0.0/files")
    assert pool.launch.argv == (f"{files}/main", "--slow")
    assert pool.launch.cwd == files


def test_a_new_version_replaces_the_workers_only(store: PackageStore, tmp_path: Path) -> None:
    yaml = YAML.format(version="1.0.1", kind="line")
    source = make_directory(tmp_path / "source", {"main": b"#!/bin/sh\n"}, yaml=yaml)
    (source / "main").chmod(0o755)
    store.install(io.BytesIO(pack(source)), "x")
    old = wiring([with_packages(flow("name: p, package: 'hello:1.0.0'"), store)])
    new = wiring([with_packages(flow("name: p, package: 'hello:1.0.1'"), store)])
    (action,) = changes(old, new)
    assert getattr(action, "replace_workers", False)


def test_flows_without_packages_stay_as_they_are(store: PackageStore) -> None:
    loaded = flow("name: p, cmd: cat")
    assert with_packages(loaded, store) == loaded


def test_faults_have_their_place_in_the_flow(store: PackageStore) -> None:
    text = fault(
        flow(
            "name: a, package: absent",
            "name: b, package: 'hello:9.9'",
            "name: c, package: 'hello:v1'",
            "name: d, cmd: cat",
            "name: e, package: 'hello:1.2.0', sub: [{name: d}]",
            "name: f, package: 'hello:1.0.0', spare: 3",
        ),
        store,
    )
    lines = text.splitlines()
    assert (
        "/flows/f.yaml:3:24: func[0].package: there is no package absent; installed are: hello"
        in lines[0]
    )
    assert "func[1].package: there is no package hello:9.9; installed of hello: 1.0.0" in lines[1]
    assert "func[2].package: 'hello:v1' names no package" in lines[2]
    assert (
        "func[4].sub: a function of kind stream takes no messages (package hello:1.2.0)" in lines[3]
    )
    assert "func[5].spare: spare is for the kinds exec, and this one is line" in lines[4]
    assert len(lines) == 5


def test_who_uses_which_version() -> None:
    flows = [
        ("a", [Reference("hello", "1.0.0")]),
        ("b", [Reference("hello"), Reference("other", "1.0.0")]),
        ("c", [Reference("hello", "1.0.0"), Reference("hello", "1.0.0")]),
        ("d", []),
    ]
    assert users(flows, "hello", ["1.0.0", "1.1.0"]) == {"1.0.0": ["a", "c"], "1.1.0": ["b"]}
    assert users(flows, "hello", []) == {"1.0.0": ["a", "c"]}
    assert users(flows, "absent", ["1.0"]) == {}


def test_references_of_a_flow() -> None:
    loaded = flow("name: a, package: hello", "name: b, cmd: cat", "name: c, package: 'x:1.0'")
    assert references(loaded) == [Reference("hello"), Reference("x", "1.0")]
