"""What processes share is taken back once, when nobody can want it any more."""

from __future__ import annotations

from drop.pools.lent import ENDING_SECONDS, Lent
from drop.testing.clock import FakeClock


def test_what_was_before_stays_until_the_last_message_is_over() -> None:
    clock, ended = FakeClock(), list[str]()
    lent = Lent(clock)
    lent.replace(lambda: ended.append("one"), 10_000)
    lent.replace(lambda: ended.append("two"), 10_000)
    clock.advance(10.0 + ENDING_SECONDS - 0.1)
    assert ended == []
    clock.advance(0.2)
    assert ended == ["one"]
    lent.close()
    assert ended == ["one", "two"]


def test_the_end_takes_all_of_it_back_at_once() -> None:
    clock, ended = FakeClock(), list[str]()
    lent = Lent(clock)
    for name in ("one", "two", "three"):
        lent.replace(lambda name=name: ended.append(name), 1000)  # type: ignore[misc]
    lent.close()
    assert ended == ["one", "two", "three"]
    lent.close()
    clock.advance(100.0)
    assert len(ended) == 3
