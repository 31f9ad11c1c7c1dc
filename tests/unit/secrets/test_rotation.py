"""Which pools run with something old: every combination of had, has and lacks."""

from __future__ import annotations

import pytest

from drop.secrets.rotation import Changed, Decision, Item, decide, users

A, B = Item("secret", "A"), Item("env_file", "/b")


@pytest.mark.parametrize(
    ("workers", "now", "replace", "keep"),
    [
        ([{A: b"1"}], {A: b"1"}, (), ()),
        ([{A: b"1"}], {A: b"2"}, (A,), ()),
        ([{A: b"1"}], {A: None}, (), (A,)),
        ([{A: None}], {A: b"1"}, (A,), ()),
        ([{A: None}], {A: None}, (), ()),
        ([{A: b"1"}, {A: b"2"}], {A: b"2"}, (A,), ()),
        ([{A: b"2"}, {A: b"2"}], {A: b"2"}, (), ()),
        ([{A: b"1", B: b"1"}], {A: b"2", B: None}, (), (B,)),
        ([{A: b"1", B: b"1"}], {A: b"2", B: b"2"}, (B, A), ()),
        ([], {}, (), ()),
        ([{}], {A: b"1"}, (), ()),
    ],
)
def test_one_pool(
    workers: list[dict[Item, bytes | None]],
    now: dict[Item, bytes | None],
    replace: tuple[Item, ...],
    keep: tuple[Item, ...],
) -> None:
    decision = decide({"p": workers}, now)
    assert decision.replace == ((Changed("p", replace),) if replace else ())
    assert decision.keep == ((Changed("p", keep),) if keep else ())


def test_pools_that_do_not_use_it_are_left_alone() -> None:
    pools = {"p": [{A: b"1"}], "q": [{B: b"1"}], "r": []}
    decision = decide(pools, {A: b"2", B: b"1"})
    assert decision == Decision((Changed("p", (A,)),), ())


def test_who_uses_it() -> None:
    pools = {"q": [{A: b"1"}], "p": [{B: b"1"}, {A: None}], "r": [{B: b"1"}]}
    assert users(pools, A) == ("p", "q")


def test_an_item_in_words() -> None:
    assert (str(A), str(B)) == ("secret A", "env_file /b")
