"""function.yaml: the same keys as in a flow, and every fault with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drop.document import Document
from drop.errors import ConfigurationError
from drop.flow.load import parse_flow
from drop.packages.manifest import (
    OF_THE_FLOW,
    SHARED_KEYS,
    case_messages,
    load_manifest,
    parse_manifest,
)
from drop.packages.record import Package, read_record, write_record
from drop.problems import Source

HEAD = "name: hello\nversion: 1.0.0\ncmd: ./main\n"


def fault(text: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        parse_manifest(text.encode(), "function.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "function.yaml:1:1: found nothing; expected a mapping"),
        ("[]", "found an empty list; expected a mapping"),
        ("version: 1.0\ncmd: x", "name: the key 'name' is missing"),
        ("name: a\ncmd: x", "version: the key 'version' is missing"),
        ("name: a\nversion: 1.0", "cmd: the key 'cmd' is missing"),
        ("name: a/b\nversion: 1.0\ncmd: x", "function.yaml:1:7: name: found the text 'a/b'"),
        (
            "name: a\nversion: latest\ncmd: x",
            "function.yaml:2:10: version: found the text 'latest'",
        ),
        (HEAD + "tiemout: 3", "function.yaml:4:1: tiemout: unknown key (did you mean 'timeout'?)"),
        (HEAD + "zzz: 3", "expected one of name, version"),
        (HEAD + "timeout: soon", "function.yaml:4:10: timeout: found the text 'soon'"),
        (HEAD + "memory: -1", "memory: found the number -1"),
        (HEAD + "kind: magic", "expected one of line, frame"),
        (HEAD + "num: 0", "num: found the number 0"),
        (HEAD + "cmd: y", "the key 'cmd' is there already, in line 3"),
        (HEAD + "build: make", "build: found the text 'make'; expected a list"),
        (HEAD + "build: ['a | b']", "build[0]: found '|', which only a shell understands"),
        (HEAD + "build: [[]]", "build[0]: found an empty command"),
        (HEAD + "cwd: ../x", "cwd: leads out of the package"),
        (HEAD + "files: [a]", "files: found a list; expected a mapping"),
        (HEAD + "files: {exclude: x}", "files.exclude: found the text 'x'; expected a list"),
        (HEAD + "files: {exlude: [x]}", "files.exlude: unknown key (did you mean 'exclude'?)"),
        (HEAD + "cases: [{input: a}]", "cases[0].output: the key 'output' is missing"),
        (HEAD + "cases: [{input: a, output: 1.5}]", ""),
        (HEAD + "cases: [{input: a, output: true}]", "output: found true; expected a text"),
        (HEAD + "cases: [{input: [a, b], output: [c]}]", "found 1 answers to 2 messages"),
        (HEAD + "kind: stream\ncases: [{input: [a], output: [c]}]", "takes no messages"),
        (HEAD + "env: {DROP_NODE: x}", "names that start with DROP_ are set by the node"),
        (HEAD + "newline: ncm\nkind: frame", "ncm is for line-framed kinds"),
        (HEAD + "sub: [{name: x}]", "sub: is said where the function is used, in the flow"),
        (HEAD + "user: root", "user: is said where the function is used"),
        (HEAD + "package: x", "package: is said where the function is used"),
        ("a: [", "not valid YAML"),
    ],
)
def test_faults_have_a_place(text: str, says: str) -> None:
    if not says:
        assert parse_manifest(text.encode(), "function.yaml").name == "hello"
    else:
        assert says in fault(text)


def test_all_faults_at_once() -> None:
    lines = fault("name: a b\nkind: magic\nbuild: 3\nzzz: 1\n").splitlines()
    places = [tuple(line.split(":")[1:4:2]) for line in lines]
    assert places == [
        ("1", " version"), ("1", " cmd"), ("1", " name"),
        ("2", " kind"), ("3", " build"), ("4", " zzz"),
    ]  # fmt: skip


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no function.*drop fun init"):
        load_manifest(tmp_path)
    with pytest.raises(ConfigurationError, match="No such file"):
        load_manifest(tmp_path / "absent")
    (tmp_path / "function.yaml").mkdir()
    with pytest.raises(ConfigurationError, match="Is a directory"):
        load_manifest(tmp_path)


#: A value for each key that function.yaml shares with flows.
VALUES = {
    "cmd": "cmd: ./main 'a b' 7",
    "image": "image: validator:0.1.0",
    "kind": "kind: async",
    "num": "num: {min: 0, max: 7}",
    "spare": "kind: exec\nspare: 3",
    "inflight": "inflight: 64",
    "queue": "queue: 7",
    "overflow": "overflow: drop-oldest",
    "timeout": "timeout: 0",
    "retries": "retries: 2",
    "newline": "newline: ncm",
    "restart": "restart: on-failure",
    "ready": "ready: 007",
    "start": "ready: up\nstart: 500",
    "health": "health: {message: ping, expect: pong, every: 2000}",
    "cwd": "cwd: lib",
    "env": "env: {A: 1.10, B: 007, C: 'true', D: 'x=y'}",
    "env_file": "env_file: [a.env, b.env]",
    "memory": "memory: 64",
    "secrets": "secrets: [DB_PASSWORD]",
    "contain": "contain: {tmp: shared, filesystem: read-only, write: [/srv], network: none}",
    "limits": "limits: {processes: 7, cpu: 50, open_files: 99, file_size: 3, core: 1}",
    "idle": "idle: 1000",
}


def test_every_shared_key_has_a_value_here() -> None:
    assert sorted(VALUES) == sorted(SHARED_KEYS)


@pytest.mark.parametrize("text", [*VALUES.values(), "contain: off", "env_file: one.env", "num: 3"])
def test_a_key_means_what_it_means_in_a_flow_and_survives_packing(text: str) -> None:
    text = text if "cmd:" in text else f"cmd: x\n{text}"
    manifest = parse_manifest(f"name: hello\nversion: 1.0\n{text}".encode(), "function.yaml")
    indented = text.replace("\n", "\n    ")
    flow = parse_flow(f"name: f\nfunc:\n  - name: hello\n    {indented}\n".encode(), "flow.yaml")
    assert manifest.function == flow.spec.func[0]
    packed = read_record(write_record(Package(manifest, ())), "x").manifest
    assert packed.function == manifest.function.model_copy(update={"kind": manifest.kind})
    assert packed.function.model_fields_set == manifest.function.model_fields_set | {"kind"}


def test_the_keys_of_packages_survive_packing() -> None:
    text = HEAD + (
        "description: d\nbuild: [make, [cc, -o, main, 'a b.c']]\nfiles: {exclude: ['*.md']}\n"
        "cases:\n  - {name: n, input: 'a\n\n    b', output: [1, 2]}\n"
        "  - {input: [x, y], output: [p, q]}\n"
    )
    manifest = parse_manifest(text.encode(), "function.yaml")
    packed = read_record(write_record(Package(manifest, ())), "x").manifest
    assert packed.keys.cases == manifest.keys.cases
    assert packed.keys.build == manifest.keys.build == (("make",), ("cc", "-o", "main", "a b.c"))
    assert packed.keys.description == "d"
    assert "files" not in json.loads(write_record(Package(manifest, ())))


def test_the_kind_is_fixed_by_the_packages_own_name() -> None:
    text = b"name: ticks_stream\nversion: 1.0\ncmd: x"
    manifest = parse_manifest(text, "function.yaml")
    assert manifest.kind == "stream"
    assert read_record(write_record(Package(manifest, ())), "x").manifest.function.kind == "stream"


def test_messages_of_cases() -> None:
    assert case_messages((("a\nb\n",), True), "line") == [b"a", b"b"]
    assert case_messages((("a\n\nb",), True), "async") == [b"a", b"", b"b"]
    assert case_messages((("a\nb\n",), True), "exec") == [b"a\nb\n"]
    assert case_messages((("a\nb", "c"), False), "frame") == [b"a\nb", b"c"]
    assert case_messages(((), False), "stream") == []


def test_keys_of_the_flow_are_known_ones() -> None:
    from drop.flow.spec import Function

    assert set(OF_THE_FLOW) < set(Function.model_fields)


def test_extensions_are_ignored() -> None:
    source = Source("function.yaml", {}, {})
    from drop.packages.manifest import check_manifest

    value = {"name": "a", "version": "1", "cmd": "x", "x-anything": [1]}
    assert check_manifest(Document(value, source)).name == "a"
