"""What may go wrong while packages are made, said so that the reader knows what to do."""

from __future__ import annotations


class BuildFault(Exception):
    """A step failed; the text says which, where and what to do."""
