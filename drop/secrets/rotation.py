"""Which pools run with something that has changed since: a decision about digests. Pure.

A digest stands for the value of a secret or for the bytes of an env_file; None for what is not
there or cannot be used. A worker's start with a missing item is remembered as well, so that the
pool is started anew once there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Kind = Literal["secret", "env_file"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Item(NamedTuple):
    """Something that workers are given and that may change under them."""

    kind: Kind
    name: str
    """Of the secret, or the absolute path of the file."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Seen = Mapping[Item, bytes | None]
"""What one worker was given."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A pool, and what is not any more as its workers have it."""

    pool: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    replace: tuple[Changed, ...]
    """Their workers are to be replaced in turn."""
    keep: tuple[Changed, ...]
    """Something has changed, but `items` are missing now: new workers could not start."""


def decide(pools: Mapping[str, Iterable[Seen]], now: Seen) -> Decision:
    """What to do with pools whose workers have seen this, given what there is now.

    A pool that lacks something keeps the workers it has: an old value is better than no worker.
    """
    replace, keep = [], []
    for pool, workers in pools.items():
        given = {(item, digest) for seen in workers for item, digest in seen.items()}
        changed = tuple(sorted({item for item, digest in given if now.get(item) != digest}))
        missing = tuple(sorted({item for item, _ in given if now.get(item) is None}))
        if changed and not missing:
            replace.append(Changed(pool, changed))
        elif changed:
            keep.append(Changed(pool, missing))
    return Decision(tuple(replace), tuple(keep))


def users(pools: Mapping[str, Iterable[Seen]], item: Item) -> tuple[str, ...]:
    """The pools whose workers have been given it, or wait for it."""
    return tuple(sorted(pool for pool, workers in pools.items() if any(item in s for s in workers)))
