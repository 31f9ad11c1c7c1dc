"""A store of images that a test can empty and fill; what was prepared is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

from drop.images.faults import ImageError
from drop.images.images import Images
from drop.images.prepared import PreparedImage


class Store:
    def __init__(self) -> None:
        self.missing = ""
        self.prepared: list[PreparedImage] = []
        self.released: Counter[int] = Counter()
        self.let_go = asyncio.Event()

    async def prepare(self, text: str, **_: object) -> PreparedImage:
        if self.missing:
            raise ImageError(self.missing)
        nothing = cast(Any, None)
        made = PreparedImage(nothing, nothing, nothing, nothing, (text,), str(len(self.prepared)))
        self.prepared.append(made)
        return made

    async def release(self, prepared: PreparedImage) -> None:
        self.released[self.prepared.index(prepared)] += 1
        self.let_go.set()

    async def close(self) -> None:
        """Nothing is open."""

    def as_images(self) -> Images:
        return cast(Images, self)
