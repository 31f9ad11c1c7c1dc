"""What a flow file may say, and the exact words for what it may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drop.errors import ConfigurationError
from drop.flow.describe import describe
from drop.flow.load import load_flow, parse_flow
from drop.flow.spec import Flow, LoadedFlow
from drop.flow.support import refusals, warnings, workers_run

ORIGINAL = """\
name: abcnews
priority: 0                # 0: on every node of the namespace; 1: only on the one with the VIP
func:
  - name: validator        # the pool's name
    image: validator:0.1.0 # with an image: run in a container; without: a plain process
    cmd: ./validator [0-9]{7},*
    num: 2                 # workers, or {min: 0, max: 16}
    memory: 100            # MiB
    timeout: 10000         # ms for one message
  - name: word_count
    cmd: nodejs ./word_count.js 5
    sub:
      - name: validator
        filter: "tag:matched,2007"   # a byte substring; "no" or absent: everything
        type: one                    # one | all | done | dall; `sone` is an alias of `one`
"""


def load(text: str) -> LoadedFlow:
    return parse_flow(text.encode(), "f.yaml")


def function(text: str) -> LoadedFlow:
    """A flow of one function with these further keys, each a line from line 5 on."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return load(f"name: n\nfunc:\n  - name: p\n    cmd: cat\n{lines}")


def test_the_original_loads_unchanged() -> None:
    flow = load(ORIGINAL).spec
    validator, word_count = flow.func
    assert (flow.name, flow.priority) == ("abcnews", 0)
    assert validator.cmd == ("./validator", "[0-9]{7},*")
    assert (validator.image, validator.num.min, validator.num.max) == ("validator:0.1.0", 2, 2)
    assert (validator.memory, validator.timeout) == (100, 10000)
    assert word_count.cmd == ("nodejs", "./word_count.js", "5")
    (sub,) = word_count.sub
    assert (sub.name, sub.filter, sub.type) == ("validator", "tag:matched,2007", "one")


def test_defaults() -> None:
    (each,) = function("").spec.func
    assert (each.effective_kind, each.num.min, each.inflight, each.queue) == ("line", 1, 1, 1024)
    assert (each.overflow, each.timeout, each.retries) == ("default", 30_000, 0)
    assert (each.newline, each.restart, each.cwd, each.env) == ("refuse", "always", None, {})


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a", "line"), ("a_stream", "stream"), ("x_async_y", "async"), ("async", "line")],
)
def test_a_name_can_pick_the_kind(name: str, kind: str) -> None:
    (each,) = load(f"name: n\nfunc: [{{name: {name}, cmd: x}}]").spec.func
    assert each.effective_kind == kind


@pytest.mark.parametrize("text", ["no", '"no"', "", '""', "~"])
def test_no_filter_is_everything(text: str) -> None:
    (each,) = function(f"sub: [{{name: a, filter: {text}}}]").spec.func
    assert each.sub[0].filter == ""


@pytest.mark.parametrize(("text", "meant"), [("2007", "2007"), ("1.10", "1.10"), ("yes", "yes")])
def test_filters_and_variables_are_taken_as_written(text: str, meant: str) -> None:
    (each,) = function(f"sub: [{{name: a, filter: {text}}}]\nenv: {{A: {text}}}").spec.func
    assert (each.sub[0].filter, each.env) == (meant, {"A": meant})


def test_sone_is_one() -> None:
    (each,) = function("sub: [{name: a, type: sone}, {name: b, type: dall}]").spec.func
    assert [(sub.type, sub.mode) for sub in each.sub] == [("one", "one"), ("dall", "one")]


def test_hidden_keys_hold_anchors() -> None:
    flow = load(
        "name: n\nx-all: &all {timeout: 5, x-note: why}\n"
        "func:\n  - {<<: *all, name: p, cmd: cat}\n  - {<<: *all, name: q, cmd: cat, timeout: 6}\n"
    )
    assert [each.timeout for each in flow.spec.func] == [5, 6]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("awk -F '|' '{print $1}'", ["awk", "-F", "|", "{print $1}"]),
        ('"a b" c', ["a b", "c"]),
        ("grep ^a$ -e a>b", ["grep", "^a$", "-e", "a>b"]),
    ],
)
def test_a_command_is_split_without_a_shell(text: str, arguments: list[str]) -> None:
    flow = load(f"name: n\nfunc:\n  - name: p\n    cmd: >-\n      {text}\n")
    assert list(flow.spec.func[0].cmd) == arguments


def test_a_command_can_be_a_list() -> None:
    flow = load("name: n\nfunc:\n  - name: p\n    cmd: [sh, -c, 'cat | cat', 5]\n")
    assert flow.spec.func[0].cmd == ("sh", "-c", "cat | cat", "5")


UNRUN = [
    ("dead_letter: q", "dead_letter: this version keeps no dead letters; expected no dead_letter; "
     "failed messages are answered with an error and counted"),
    ("delivery: durable", "delivery: this version has no durable delivery; expected at-most-once"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), UNRUN)
def test_what_this_version_does_not_run_is_refused_at_its_line(text: str, expected: str) -> None:
    (error,) = refusals(function(text))
    assert re.sub(r"^f.yaml:5:\d+: func\[0\]\.", "", str(error)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("idle: 100", "idle: this version does not scale: idle workers stay"),
        ("num: {min: 0, max: 4}", "num: this version does not scale: 1 worker will run"),
        ("num: {min: 3, max: 4}", "num: this version does not scale: 3 workers will run"),
    ],
)
def test_what_has_no_effect_gets_a_warning_at_its_line(text: str, expected: str) -> None:
    flow = function(text)
    assert refusals(flow) == []
    (note,) = warnings(flow)
    assert re.sub(r"^f.yaml:5:\d+: func\[0\]\.", "", str(note)) == expected


def test_priority_gets_a_warning() -> None:
    (note,) = warnings(load("name: n\npriority: 1\nfunc: [{name: p, cmd: cat}]"))
    assert str(note) == (
        "f.yaml:2:11: priority: this version has no namespaces: the flow runs on this node"
    )


def test_every_key_is_run_or_refused_or_warned_of() -> None:
    """A new key of the models must be decided about here and in docs/flow.md."""
    run = (
        "name cmd kind num inflight queue overflow timeout retries newline restart cwd env sub "
        "package image spare ready start health env_file secrets user memory contain limits"
    )
    told = "dead_letter delivery idle"
    model = Flow.model_fields["func"].annotation.__args__[0]  # type: ignore[union-attr]
    assert set(model.model_fields) == set(f"{run} {told}".split())


def test_a_file_is_loaded_with_its_directory(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ORIGINAL)
    flow = load_flow(tmp_path / "a.yaml")
    assert flow.directory == str(tmp_path)
    with pytest.raises(ConfigurationError, match="No such file"):
        load_flow(tmp_path / "b.yaml")


def test_describe_tells_what_would_run() -> None:
    data = describe(load(ORIGINAL))
    assert [pool["name"] for pool in data["pools"]] == ["validator", "word_count"]
    assert data["pools"][0]["command"] == "./validator '[0-9]{7},*'"
    assert data["pools"][1]["subscriptions"] == [
        {"name": "validator", "filter": "tag:matched,2007", "type": "one"}
    ]
    assert (data["warnings"], data["refused"]) == ([], [])


WRONG = [
    ("spare: 2", "spare: spare is for the kinds exec, and this one is line; expected no such key"),
    ("ready: R\nkind: exec", "ready: ready is for the kinds line, frame, async, stream, and this "
     "one is exec; expected no such key"),
    ("start: 5", "start: start is the time until a worker says `ready`, which is not given; "
     "expected ready as well"),
    ('ready: "a\\nb"', "ready: found the text 'a\\nb'; expected at most 256 bytes without a "
     "newline"),
    ("health: {expect: x}", "health.message: the key 'message' is missing; expected text of one "
     "line"),
    ("health: {message: x, every: 5}", "health.every: found the number 5; expected milliseconds, a "
     "whole number from 100 to 86400000"),
    ("contain: 5", "contain: found the number 5; expected a mapping, or off"),
    ("contain: {write: [/x]}", "contain.write: write names exceptions of `filesystem: read-only`, "
     "which is not given; expected filesystem: read-only as well"),
    ("contain: {network: some}", "contain.network: found the text 'some'; expected host or none"),
    ("limits: {open_files: 3}", "limits.open_files: found the number 3; expected a whole number "
     "from 16 to 1048576"),
    ("package: a b", "package: found the text 'a b'; expected NAME or NAME:VERSION of an "
     "installed package"),
    ("env_file: [5]", "env_file[0]: found the number 5; expected a path"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_wrong_value_is_told_at_its_place(text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        function(text)
    said = [
        re.sub(r"^f.yaml:\d+:\d+: func\[0\]\.", "", line) for line in str(caught.value).splitlines()
    ]
    assert expected in said


def test_containment_can_be_switched_off_as_a_whole() -> None:
    contain = function("contain: off").spec.func[0].contain
    assert (contain.cgroup, contain.no_new_privileges, contain.tmp) == (False, False, "shared")


def test_how_many_processes_of_kind_exec_run() -> None:
    assert workers_run(function("kind: exec").spec.func[0]) == 8
    assert workers_run(function("kind: exec\nnum: 1").spec.func[0]) == 1
    assert workers_run(function("kind: exec\nnum: {min: 0, max: 5}").spec.func[0]) == 5
