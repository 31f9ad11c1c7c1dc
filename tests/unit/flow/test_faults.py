"""The exact words, with their places, for what a flow file may not say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drop.errors import ConfigurationError
from drop.flow.load import parse_flow
from drop.flow.spec import LoadedFlow


def load(text: str) -> LoadedFlow:
    return parse_flow(text.encode(), "f.yaml")


def function(text: str) -> LoadedFlow:
    """A flow of one function with these further keys, each a line from line 5 on."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return load(f"name: n\nfunc:\n  - name: p\n    cmd: cat\n{lines}")


def fault(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    return str(caught.value)


def function_fault(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        function(text)
    return str(caught.value)


A_POOL = "a pool's name: 1 to 128 of A-Z a-z 0-9 _ . : - /"

FILE_FAULTS = {
    "empty": ("", "f.yaml:1:1: found nothing; expected a mapping with at least name and func"),
    "a list": (
        "- a\n",
        "f.yaml:1:1: found a list; expected a mapping with at least name and func",
    ),
    "a text": (
        "hello",
        "f.yaml:1:1: found the text 'hello'; expected a mapping with at least name and func",
    ),
    "junk": (
        "z" * 1_000_000,
        f"f.yaml:1:1: found the text '{'z' * 60}...'; expected a mapping with at least name and "
        "func",
    ),
    "no functions": (
        "name: n\nfunc: []\n",
        "f.yaml:2:7: func: found 0 entries; expected a list of 1 to 4096 functions",
    ),
    "func of another type": (
        "name: n\nfunc: {}\n",
        "f.yaml:2:7: func: found an empty mapping; expected a list of 1 to 4096 functions",
    ),
    "nothing in it": (
        "{}",
        "f.yaml:1:1: name: the key 'name' is missing; expected a flow's name: 1 to 64 of A-Z a-z "
        "0-9 _ - . (not . first)\n"
        "f.yaml:1:1: func: the key 'func' is missing; expected a list of 1 to 4096 functions",
    ),
    "a flow's name": (
        "name: a/b\nfunc: [{name: p, cmd: cat}]",
        "f.yaml:1:7: name: found the text 'a/b'; expected a flow's name: 1 to 64 of A-Z a-z 0-9 _ "
        "- . (not . first)",
    ),
    "priority": (
        "name: n\npriority: 2\nfunc: [{name: p, cmd: cat}]",
        "f.yaml:2:11: priority: found the number 2; expected 0 or 1",
    ),
    "an unknown key": (
        "name: n\nfunk: 1\nfunc: [{name: p, cmd: cat}]",
        "f.yaml:2:1: funk: unknown key (did you mean 'func'?)",
    ),
    "an unknown key that is like none": (
        "name: n\nzzz: 1\nfunc: [{name: p, cmd: cat}]",
        "f.yaml:2:1: zzz: unknown key; expected one of name, priority, func",
    ),
    "a function that is a text": (
        "name: n\nfunc: [cat]\n",
        "f.yaml:2:8: func[0]: found the text 'cat'; expected a mapping with at least name",
    ),
    "no command": (
        "name: n\nfunc:\n  - name: p\n",
        "f.yaml:3:5: func[0].cmd: the key 'cmd' is missing; expected a command, as a text or as a "
        "list of texts",
    ),
    "the same pool twice": (
        "name: n\nfunc:\n  - {name: p, cmd: cat}\n  - {name: p, cmd: cat}\n",
        "f.yaml:4:12: func[1].name: func[0] has the name 'p' already; expected each pool once",
    ),
    "a pool's name": (
        "name: n\nfunc:\n  - {name: a b, cmd: cat}\n  - {name: '', cmd: cat}\n"
        f"  - {{name: {'a' * 129}, cmd: cat}}\n  - {{name: $control, cmd: cat}}\n",
        f"f.yaml:3:12: func[0].name: found the text 'a b'; expected {A_POOL}\n"
        f"f.yaml:4:12: func[1].name: found the text ''; expected {A_POOL}\n"
        f"f.yaml:5:12: func[2].name: found the text '{'a' * 60}...'; expected {A_POOL}\n"
        f"f.yaml:6:12: func[3].name: found the text '$control'; expected {A_POOL}",
    ),
    "a key twice, and more": (
        "name: n\nname: m\nfunc: [{name: p, cmd: cat, cmd: x, num: 0}]",
        "f.yaml:2:1: the key 'name' is there already, in line 1; expected each key once\n"
        "f.yaml:3:28: the key 'cmd' is there already, in line 3; expected each key once\n"
        "f.yaml:3:41: func[0].num: found the number 0; expected a whole number from 1 to 1024, or "
        "{min: A, max: B} with 0 <= A <= B and 1 <= B",
    ),
    "faults of every sort together": (
        "name: n\nfunc:\n  - {name: p, cmd: cat, num: x}\n  - {name: p, timeout: true}\n",
        "f.yaml:3:30: func[0].num: found the text 'x'; expected a whole number from 1 to 1024, or "
        "{min: A, max: B} with 0 <= A <= B and 1 <= B\n"
        "f.yaml:4:5: func[1].cmd: the key 'cmd' is missing; expected a command, as a text or as a "
        "list of texts\n"
        "f.yaml:4:12: func[1].name: func[0] has the name 'p' already; expected each pool once\n"
        "f.yaml:4:24: func[1].timeout: found true; expected milliseconds, a whole number from 0 to "
        "86400000",
    ),
}


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_a_fault_of_a_file(name: str) -> None:
    text, expected = FILE_FAULTS[name]
    assert fault(text) == expected


def test_a_file_with_very_many_faults_prints_the_first_hundred() -> None:
    lines = fault(f"name: n\nfunc: [{'{name: p},' * 500}]").splitlines()
    assert len(lines) == 101
    assert lines[-1] == "f.yaml: 899 more faults"


WORKERS = "a whole number from 1 to 1024, or {min: A, max: B} with 0 <= A <= B and 1 <= B"
VARIABLE = "a name of A-Z a-z 0-9 _, with no digit first"

# The keys of a function, and what is said after "f.yaml:5:COLUMN: func[0]."
FUNCTION_FAULTS = [
    ("num: 0", f"num: found the number 0; expected {WORKERS}"),
    ("num: 1025", f"num: found the number 1025; expected {WORKERS}"),
    ("num: 1.5", f"num: found the number 1.5; expected {WORKERS}"),
    ("num: true", f"num: found true; expected {WORKERS}"),
    ("num: '2'", f"num: found the text '2'; expected {WORKERS}"),
    ("num: [1, 2]", f"num: found a list; expected {WORKERS}"),
    ("num: {min: 1, max: 0}", "num.min: found min: 1 with max: 0; expected min not above max\n"
     "f.yaml:5:24: func[0].num.max: found the number 0; expected a whole number from 1 to 1024"),
    ("num: {min: 1}", "num.max: the key 'max' is missing; expected a whole number from 1 to 1024"),
    ("num: {min: 1, maxx: 2, max: 3}", "num.maxx: unknown key (did you mean 'max'?)"),
    ("inflight: 0", "inflight: found the number 0; expected a whole number from 1 to 1024"),
    ("inflight: 1025", "inflight: found the number 1025; expected a whole number from 1 to 1024"),
    ("queue: 0", "queue: found the number 0; expected a whole number from 1 to 1048576"),
    ("queue: 5 k", "queue: found the text '5 k'; expected a whole number from 1 to 1048576"),
    ("overflow: drop", "overflow: found the text 'drop'; expected default, reject, block or "
     "drop-oldest"),
    ("timeout: 5s", "timeout: found the text '5s'; expected milliseconds, a whole number from 0 to "
     "86400000"),
    ("timeout: ", "timeout: found nothing; expected milliseconds, a whole number from 0 to "
     "86400000"),
    ("tiemout: 5", "tiemout: unknown key (did you mean 'timeout'?)"),
    ("retries: -1", "retries: found the number -1; expected a whole number from 0 to 100"),
    ("newline: lf", "newline: found the text 'lf'; expected refuse or ncm"),
    ("restart: no", "restart: found the text 'no'; expected always, on-failure or never"),
    ("kind: lines", "kind: found the text 'lines'; expected one of line, frame, async, stream, "
     "exec, lambda, mcp"),
    ("kind: frame\nnewline: ncm", "newline: ncm is for line-framed kinds, and this one is frame; "
     "expected refuse, or no such key"),
    ("kind: stream\nsub: [{name: a}]", "sub: a function of kind stream takes no messages; expected "
     "no such key"),
    ("cwd: [a]", "cwd: found a list; expected a directory"),
    (f"cwd: {'d' * 5000}", "cwd: found 5000 characters; expected at most 4096"),
    ("env: [A=b]", "env: found a list; expected a mapping NAME: value of at most 256 variables"),
    ("env: {A: true}", "env.A: found true; expected text (true and false need quotes)"),
    ("env: {A: }", "env.A: found nothing; expected text (true and false need quotes)"),
    ("env: {1A: x}", f"env.1A: the name '1A' is not allowed; expected {VARIABLE}"),
    ("env: {DROP_POOL: x}", "env.DROP_POOL: names that start with DROP_ are set by the node; "
     "expected another name"),
    ("memory: 100M", "memory: found the text '100M'; expected MiB, a whole number from 1 to "
     "1048576"),
    ("secrets: KEY", "secrets: found the text 'KEY'; expected a list of names"),
    ("secrets: [a b]", f"secrets[0]: found the text 'a b'; expected {VARIABLE}"),
    ("dead_letter: a b", f"dead_letter: found the text 'a b'; expected {A_POOL}"),
    ("delivery: exactly-once", "delivery: found the text 'exactly-once'; expected at-most-once or "
     "durable"),
    ("idle: 0", "idle: found the number 0; expected milliseconds, a whole number from 1 to "
     "86400000"),
    ("sub: validator", "sub: found the text 'validator'; expected a list of at most 64 "
     "subscriptions"),
    ("sub: [validator]", "sub[0]: found the text 'validator'; expected a mapping with at least "
     "name"),
    ("sub: [{filter: a}]", f"sub[0].name: the key 'name' is missing; expected {A_POOL}"),
    ("sub: [{name: a, filter: true}]", "sub[0].filter: found true; expected text (true and false "
     "need quotes)"),
    (f"sub: [{{name: a, filter: {'é' * 600}}}]", "sub[0].filter: found 1200 bytes; expected at "
     "most 1024 bytes"),
    ("sub: [{name: a, type: some}]", "sub[0].type: found the text 'some'; expected one, all, done, "
     "dall, or sone (the same as one)"),
    ("sub: [{name: a}, {name: a, filter: no, type: sone}]", "sub[1]: says the same as sub[0]; "
     "expected each subscription once"),
    (f"sub: [{', '.join(f'{{name: a{i}}}' for i in range(65))}]", "sub: found 65 entries; expected "
     "a list of at most 64 subscriptions"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FUNCTION_FAULTS)
def test_a_fault_of_a_function(text: str, expected: str) -> None:
    message = function_fault(text)
    assert re.sub(r"^f.yaml:[56]:\d+: func\[0\]\.", "", message) == expected


A_COMMAND = "a command, as a text or as a list of texts"

COMMAND_FAULTS = [
    ("''", f"found an empty command; expected {A_COMMAND}"),
    ("[]", f"found an empty command; expected {A_COMMAND}"),
    ("['']", f"found an empty command; expected {A_COMMAND}"),
    ("{a: b}", f"found a mapping; expected {A_COMMAND}"),
    ("true", f"found true; expected {A_COMMAND}"),
    ("[a, true]", "found true as an argument; expected only texts (put it in quotes)"),
    ("[a, [b]]", "found a list as an argument; expected only texts (put it in quotes)"),
    ('"a\\0b"', "found a NUL character; expected text without NUL"),
    ("echo 'a", "found the text \"echo 'a\": No closing quotation; expected balanced quotes"),
    *[
        (
            f"a {word} b",
            f"found '{word}', which only a shell understands, and no shell runs; expected it in "
            f"single quotes if the program shall get it as it is, or [sh, -c, 'a {word} b']",
        )
        for word in ("|", "||", "&&", ";", "&", ">", ">>x", "2>&1", "<in", "$HOME", "${A}", "$(b)",
                     "~/x", "`b`")
    ],
    (f"[{', '.join('a' * 257)}]", "found 257 arguments; expected at most 256"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), COMMAND_FAULTS)
def test_a_fault_of_a_command(text: str, expected: str) -> None:
    message = fault(f"name: n\nfunc:\n  - name: p\n    cmd: {text}\n")
    assert message == f"f.yaml:4:10: func[0].cmd: {expected}"


WORD = st.sampled_from(
    [
        *("name", "func", "sub", "num", "min", "max", "env", "cmd", "kind", "filter", "type"),
        *("line", "image", "x-a", "a", "b", "0", "1", "-1", "true", "null"),
    ]
)
JUNK = st.recursive(
    WORD,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(WORD, inner, max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{k}: {v}" for k, v in pairs.items()) + "}"
        )
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(JUNK, JUNK)
def test_any_values_give_a_flow_or_an_error_with_a_place(function: str, sub: str) -> None:
    text = f"name: n\nfunc:\n  - {function}\n  - name: p\n    cmd: cat\n    sub: {sub}\n"
    try:
        message = load(text).source.file
    except ConfigurationError as error:
        message = str(error)
    assert all(re.match(r"f\.yaml(:\d+:\d+: |$)", line) for line in message.splitlines())
