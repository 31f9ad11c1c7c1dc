"""How long to wait before something that failed is tried again. Pure."""

from __future__ import annotations

DOUBLINGS_MAX = 30
"""More make no difference: the longest wait is reached before."""


def backoff_seconds(first: float, longest: float, repeated: int, random: float) -> float:
    """`first` doubled `repeated` times, at most `longest`; a random part of it (half to all) keeps
    those that failed together from coming back in one herd. `random` is in [0, 1)."""
    doubled = first * 2.0 ** min(max(repeated, 0), DOUBLINGS_MAX)
    return min(longest, doubled) * (0.5 + 0.5 * random)
