"""The text of `image:`: where the name is, which options there are, and what is refused."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.images.faults import ReferenceFault
from drop.images.reference import OPTIONS_MAX, TEXT_MAX, Option, Reference, parse
from drop.images.run_options import FLAGS, REFUSED, SHORT, TAKES_VALUE

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    "name",
    [
        "validator",
        "validator:0.1.0",
        "library/validator",
        "localhost/test/busy:1",
        "registry.example.org:5000/team/validator:v1.2-rc.1_x",
        f"validator@{DIGEST}",
        f"quay.io/a/b__c--d:1@{DIGEST}",
        "0f" * 32,
    ],
)
def test_a_name_alone(name: str) -> None:
    assert parse(name) == Reference(name)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("--network host v:1", [("network", "host")]),
        ("--network=host v:1", [("network", "host")]),
        ("--net host v:1", [("network", "host")]),
        ("-v /a:/b -v /c:/d:ro v:1", [("volume", "/a:/b"), ("volume", "/c:/d:ro")]),
        ("-m64m v:1", [("memory", "64m")]),
        ("-m=64m v:1", [("memory", "64m")]),
        ("-e 'A=b c' v:1", [("env", "A=b c")]),
        ("-e A= v:1", [("env", "A=")]),
        ("--read-only v:1", [("read-only", "true")]),
        ("--read-only=false v:1", [("read-only", "false")]),
        ("--privileged=1 v:1", [("privileged", "true")]),
        ("--rm -i v:1", []),
        ("-iq v:1", [("quiet", "true")]),
        ("-im 64m v:1", [("memory", "64m")]),
        ("--gpus all -- v:1", [("gpus", "all")]),
        ("--dns-opt a --init\tv:1", [("dns-option", "a"), ("init", "true")]),
        ("--hostname -x v:1", [("hostname", "-x")]),
    ],
)
def test_options_in_front(text: str, options: list[tuple[str, str]]) -> None:
    assert parse(text) == Reference("v:1", tuple(Option(*each) for each in options))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no image's name"),
        ("   ", "no image's name"),
        ("--network host", "no image's name"),
        ("--network", "--network without a value"),
        ("v:1 --network host", "'--network' behind the image's name 'v:1'"),
        ("v:1 ./program", "'./program' behind the image's name"),
        ("-d v:1", "--detach: stdin and stdout"),
        ("-t v:1", "--tty"),
        ("-it v:1", "--tty"),
        ("-dit v:1", "--detach"),
        ("--tty=false v:1", "--tty"),
        ("--name x v:1", "--name: every worker"),
        ("--restart=always v:1", "--restart: the node restarts"),
        ("--rm=false v:1", "--rm=false"),
        ("-i=false v:1", "--interactive=false"),
        ("--read-only=perhaps v:1", "--read-only=perhaps"),
        ("--netwrk host v:1", "did you mean --network?"),
        ("-z v:1", "unknown option -z"),
        ("- v:1", "lonely"),
        ("'v:1", "No closing quotation"),
        ("V:1", "the image's name 'V:1'"),
        ("docker://v:1", "the image's name"),
        ("/etc/passwd", "the image's name"),
        ("../v", "the image's name"),
        ("v:1;reboot", "the image's name"),
        ("$(reboot)", "the image's name"),
        ("v:1\0", "control character"),
        ("v:1\x1b[2J", "control character"),
        ("a" * (TEXT_MAX + 1), "characters"),
        ("--init " * (OPTIONS_MAX + 1) + "v", "options"),
        ("a/" * 300 + "a", "the image's name"),
    ],
)
def test_what_is_refused(text: str, found: str) -> None:
    with pytest.raises(ReferenceFault) as told:
        parse(text)
    assert found in told.value.found
    assert told.value.expected


@given(st.text(max_size=60) | st.lists(st.sampled_from([*SHORT, "-", "--", " ", "=", "a"])))
def test_any_text_is_a_reference_or_a_fault(text: str | list[str]) -> None:
    try:
        found = parse("".join(text))
    except ReferenceFault:
        return
    assert found.name
    assert not found.name.startswith("-")


@given(
    st.lists(
        st.builds(Option, st.sampled_from(sorted(TAKES_VALUE)), st.text("ab =-/:'\"", max_size=8))
        | st.builds(
            Option,
            st.sampled_from(sorted(FLAGS - {"rm", "interactive"})),
            st.sampled_from(["true", "false"]),
        ),
        max_size=8,
    )
)
def test_options_come_back_as_they_were_given(options: list[Option]) -> None:
    words = [option.argument for option in options]
    assert parse(shlex.join([*words, "v:1"])) == Reference("v:1", tuple(options))


def test_the_tables_of_options_do_not_overlap() -> None:
    assert not TAKES_VALUE & FLAGS
    assert not set(REFUSED) & (TAKES_VALUE | FLAGS)
    assert set(SHORT.values()) <= TAKES_VALUE | FLAGS | set(REFUSED)
