"""What can go wrong with an image, by whose fault. Pure."""

from __future__ import annotations


class ReferenceFault(ValueError):
    """The text of `image:` says something it may not; both texts are for its author."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}; expected {expected}")
        self.found = found
        self.expected = expected


class ImageError(Exception):
    """An image cannot be run: what happened, with which image, and what to do about it."""
