"""Which of root's rights this process has: what a node asks before it promises anything.

The system service gives the user drop-core a few of them (packaging/systemd/drop-core.service), so
"is root" and "may do it" are different questions.
"""

from __future__ import annotations

import os

# Numbers of linux/capability.h.
KILL = 5
SETGID = 6
SETUID = 7

SWITCH_USERS = 1 << SETUID | 1 << SETGID | 1 << KILL
"""Who starts a process as somebody else must be able to end it, too."""


def effective() -> int:
    """A bit for each capability of the calling thread that is in force."""
    with open("/proc/thread-self/status") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0  # a kernel without capabilities: root has everything, others nothing


def may_switch_users() -> bool:
    """Whether workers can run as another user. Root is believed: where a container has taken that
    from it, drop.host.confinement finds out."""
    return os.geteuid() == 0 or effective() & SWITCH_USERS == SWITCH_USERS
