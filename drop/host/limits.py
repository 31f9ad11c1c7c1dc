"""The limits that the kernel sets to this process."""

from __future__ import annotations

import resource

DESCRIPTORS_WANTED = 65_536
"""16 384 connections and 10 000 workers (three pipes and a pidfd each). Not more even where the
hard limit is "unlimited": some programs loop over all that are possible."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit towards the hard one; returns the limit that holds now.

    Workers inherit it, as they would from a shell.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
