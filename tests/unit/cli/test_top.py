"""Rates from two looks at the counters."""

from typing import Any

from rich.console import Console

from drop.cli.top import row_of, table, view_of


def pool(name: str = "a", answers: int = 0, errors: int = 0, **changes: Any) -> dict[str, Any]:
    """A pool as docs/protocol.md section 6 has it."""
    return {
        "name": name,
        "kind": "line",
        "workers": 4,
        "refusing": False,
        "waiting": 0,
        "inflight": 2,
        "messages": answers,
        "answers": answers,
        "errors": {"timeout": errors},
        "events": 0,
        "dropped": {},
        "latency_us": {"p50": 12, "p99": 40, "max": 99, "count": answers},
        **changes,
    }


def document(*pools: dict[str, Any]) -> dict[str, Any]:
    return {"node": "n", "uptime_ms": 3_661_000, "connections": {}, "pools": list(pools)}


def test_a_rate_is_the_difference_over_the_time() -> None:
    row = row_of(pool(answers=100, errors=1), pool(answers=350, errors=3), 2.5)
    assert row["answers_per_second"] == 100
    assert (row["errors"], row["errors_since"]) == (3, 2)


def test_a_new_pool_and_one_that_was_started_again() -> None:
    assert row_of({}, pool(answers=10), 1.0)["answers_per_second"] == 10
    assert row_of(pool(answers=1000), pool(answers=10), 1.0)["answers_per_second"] == 0


def test_the_busiest_pool_is_first() -> None:
    before = document(pool("a"), pool("b"), pool("c"))
    view = view_of(before, document(pool("a"), pool("b", 7), pool("c", 9)), 1.0)
    assert [row["name"] for row in view["pools"]] == ["c", "b", "a"]


def test_the_table_shows_every_pool() -> None:
    pools = pool("x[1]", 1234), pool("$control"), pool("short", workers=0)
    view = view_of(document(), document(*pools), 1.0)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(view, "host:1"))
    text = console.export_text()
    assert "n at host:1, up 1:01:01" in text
    assert "x[1]" in text
    assert "1,234" in text
    assert "short" in text
    assert "$control" not in text


def test_no_pools_is_said() -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(view_of(document(), document(), 1.0), "host:1"))
    assert "drop flow start" in console.export_text()
