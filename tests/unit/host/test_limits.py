"""The limit of descriptors: raised, within reason, never lowered."""

from __future__ import annotations

import resource

import pytest

from drop.host import limits


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 4096, 4096),
        (1024, 1_000_000, limits.DESCRIPTORS_WANTED),
        (1024, resource.RLIM_INFINITY, limits.DESCRIPTORS_WANTED),
        (100_000, 1_000_000, 100_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_soft_limit_goes_up_and_never_down(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, expected: int
) -> None:
    now = [soft, hard]

    def set_limit(_: int, new: tuple[int, int]) -> None:
        now[:] = new

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    assert limits.raise_descriptor_limit() == expected
    assert now == [expected, hard]
