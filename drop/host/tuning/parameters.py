"""The table of parameters: what is recommended, why, and what comes of it. Pure.

One row for each, in the order in which they are written; nothing here knows what the machine's
values are. The kernel's documents that comments name are those of advice.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drop.host.tuning.advice import (
    BACKLOG,
    DESCRIPTORS,
    Compute,
    Policy,
    buffer_default,
    buffer_max,
    by_profile,
    cache_pressure,
    dirty_background,
    dirty_ratio,
    fixed,
    netdev_backlog,
    receive,
    send,
    time_wait,
    writeback,
)

NOFILE = "ulimit -n"


class Group(StrEnum):
    """What is measured together; a benchmark shows nothing of SAFETY."""

    SAFETY = "safety"
    MEMORY = "vm"
    BACKLOG = "backlog"
    TCP = "tcp"
    BUFFERS = "buffers"


@dataclass(frozen=True, slots=True)
class Parameter:
    key: str
    group: Group
    namespaced: bool  # each network namespace has its own
    compute: Compute  # None: the profile leaves it as it is
    why: str
    effect: str
    gone: tuple[int, int] | None = None  # the kernel that has it no more
    zero: str = ""  # what 0 means, where that is no quantity but somebody's decision: it is kept


PARAMETERS = (
    Parameter(
        NOFILE,
        Group.SAFETY,
        False,
        fixed(Policy.AT_LEAST, DESCRIPTORS),
        "each connection takes a descriptor, each worker four",
        "a node that runs out of them accepts nobody until some are free",
    ),
    Parameter(
        "vm.swappiness",
        Group.MEMORY,
        False,
        # vm.rst: 0 to 200, 60 by default; 100: swapping costs as much as reading files again.
        by_profile(Policy.AT_MOST, 10, 1, 10),
        "a worker or the node in swap answers in milliseconds instead of microseconds",
        "the kernel gives up cached files before the memory of processes",
    ),
    Parameter(
        "vm.vfs_cache_pressure",
        Group.MEMORY,
        False,
        cache_pressure,
        "functions that are started for each call look up the same names again and again",
        "names and inodes of files stay cached longer than their contents",
    ),
    Parameter(
        "vm.dirty_ratio",
        Group.MEMORY,
        False,
        dirty_ratio,
        "the more may be unwritten, the longer a writer or fsync() stands when it has to be",
        "a writer is slowed down earlier and for a shorter time",
        zero="vm.dirty_bytes is set instead",
    ),
    Parameter(
        "vm.dirty_background_ratio",
        Group.MEMORY,
        False,
        dirty_background,
        "writing in the background that begins early is done before anybody has to wait for it",
        "disks write more steadily; a file that lives for seconds is written more often",
        zero="vm.dirty_background_bytes is set instead",
    ),
    Parameter(
        "vm.dirty_writeback_centisecs",
        Group.MEMORY,
        False,
        # vm.rst: how often the flusher threads wake up; 500 by default, 0 disables them.
        writeback,
        "how often the kernel looks for what is to be written: often is smooth, seldom saves"
        " power and flash",
        "latency: small portions each second; edge: fewer wake-ups of CPU and flash",
        zero="looking is switched off",
    ),
    Parameter(
        "vm.dirty_expire_centisecs",
        Group.MEMORY,
        False,
        # vm.rst: the age from which data is written out; 3000 by default.
        by_profile(Policy.AT_MOST, 3000, 1500, 3000),
        "what has not been written for so long is lost with the power; a node's own state never"
        " waits for it (fsync)",
        "logs and files of functions reach the disk at the latest after this and one more look",
    ),
    Parameter(
        "kernel.panic",
        Group.SAFETY,
        False,
        # kernel.rst: seconds until a reboot after a panic; 0, by default: never; negative: at once.
        fixed(Policy.IF_ZERO, 10),
        "a machine that hangs in a panic comes back only when somebody presses a button",
        "it restarts after 10 s; the others take its work over meanwhile",
    ),
    Parameter(
        "fs.file-max",
        Group.SAFETY,
        False,
        # fs.rst: about 10 % of memory in KiB by default, so low on small machines only.
        fixed(Policy.AT_LEAST, 4 * DESCRIPTORS),
        "the limit of all processes together; a node alone may have 65 536",
        "when it is reached, open() and accept() of anybody fail",
    ),
    Parameter(
        "net.core.netdev_max_backlog",
        Group.BACKLOG,
        False,
        netdev_backlog,
        "packets that come faster than a CPU takes them are dropped when its queue is full",
        "bursts are queued instead of sent again; a full queue is older when its turn comes",
    ),
    Parameter(
        "net.core.somaxconn",
        Group.BACKLOG,
        True,
        # ip-sysctl.rst: 4096, and 128 before Linux 5.4.
        fixed(Policy.AT_LEAST, BACKLOG),
        "the kernel cuts what the node asks listen() for down to this",
        "so many clients may connect at the same moment; a node has to be restarted for it",
    ),
    Parameter(
        "net.ipv4.tcp_syncookies",
        Group.SAFETY,
        True,
        # ip-sysctl.rst: 1 by default; 2 sends them always, for tests.
        fixed(Policy.AT_LEAST, 1),
        "a flood of SYN packets would keep clients out",
        "cookies are sent only when the queue of half-open connections is full",
    ),
    Parameter(
        "net.ipv4.tcp_max_syn_backlog",
        Group.BACKLOG,
        True,
        # ip-sysctl.rst: per listener, from 128 by memory; "consumes about 304 bytes". Twice
        # somaxconn: half-open ones in front of a full queue of complete ones.
        by_profile(Policy.AT_LEAST, 2 * BACKLOG, 2 * BACKLOG, 1024),
        "connections that are being made; beyond it SYN packets are dropped or get cookies",
        "2.4 MiB for each listener at 8192, only while they are that many",
    ),
    Parameter(
        "net.ipv4.tcp_max_tw_buckets",
        Group.TCP,
        True,
        time_wait,
        "beyond it ended connections lose their TIME-WAIT, which keeps old packets out of new ones",
        "about 256 bytes for each connection that has ended within the last minute",
    ),
    Parameter(
        "net.ipv4.tcp_tw_recycle",
        Group.TCP,
        True,
        fixed(Policy.AT_MOST, 0),
        "it refuses clients that share an address (NAT)",
        "removed in Linux 4.12; never to be switched on before",
        gone=(4, 12),
    ),
    Parameter(
        "net.ipv4.tcp_timestamps",
        Group.TCP,
        True,
        # ip-sysctl.rst: 1 by default, 2: without a random offset for each connection.
        fixed(Policy.AT_LEAST, 1),
        "round trips are measured, and old packets told from new ones; tcp_tw_reuse needs them",
        "12 bytes in each packet",
    ),
    Parameter(
        "net.ipv4.tcp_tw_reuse",
        Group.TCP,
        True,
        # ip-sysctl.rst: 0 off, 1 on, 2 (by default) for loopback only. Outgoing connections only.
        fixed(Policy.EXACTLY, 1),
        "a node and its functions that connect to one peer again and again run out of ports",
        "a port in TIME-WAIT is taken for a new outgoing connection after a second",
    ),
    Parameter(
        "net.ipv4.tcp_fin_timeout",
        Group.TCP,
        True,
        # ip-sysctl.rst: 60 by default; orphaned connections in FIN-WAIT-2 only.
        fixed(Policy.AT_MOST, 30),
        "a peer that never closes its side holds a connection that nobody owns any more",
        "given up after 30 s",
    ),
    Parameter(
        "net.ipv4.tcp_keepalive_time",
        Group.TCP,
        True,
        # ip-sysctl.rst: 7200 by default. Routers with NAT forget idle connections after 5 minutes
        # and more. The node's own connections say 60 themselves.
        by_profile(Policy.AT_MOST, 300, 300, 120),
        "functions that ask for keep-alive without a time of their own; the node's connections"
        " say 60 s themselves",
        "a peer that has vanished is noticed within minutes instead of two hours",
    ),
    Parameter(
        "net.ipv4.tcp_keepalive_probes",
        Group.TCP,
        True,
        fixed(Policy.AT_MOST, 5),  # ip-sysctl.rst: 9 by default
        "with the next row: how long a peer is asked before it counts as gone",
        "5 x 15 s instead of 9 x 75 s",
    ),
    Parameter(
        "net.ipv4.tcp_keepalive_intvl",
        Group.TCP,
        True,
        fixed(Policy.AT_MOST, 15),  # ip-sysctl.rst: 75 by default
        "time between two probes",
        "a few more packets on connections that are dead or idle",
    ),
    Parameter(
        "net.core.wmem_max",
        Group.BUFFERS,
        False,
        buffer_max,
        "the most that a program may ask for with SO_SNDBUF; TCP that adjusts itself is not bound",
        "nothing is taken until a program asks for it",
    ),
    Parameter(
        "net.core.rmem_max",
        Group.BUFFERS,
        False,
        buffer_max,
        "the most that a program may ask for with SO_RCVBUF: bursts of UDP, such as beacons",
        "nothing is taken until a program asks for it",
    ),
    Parameter(
        "net.core.rmem_default",
        Group.BUFFERS,
        False,
        buffer_default,
        "what a UDP socket holds before it drops: 208 KiB are 256 small packets",
        "more of a burst is kept; memory is taken only while it waits",
    ),
    Parameter(
        "net.core.wmem_default",
        Group.BUFFERS,
        False,
        buffer_default,
        "what a Unix or UDP socket takes from its writer before that waits",
        "fewer and larger turns between a node and the clients on its Unix socket",
    ),
    Parameter(
        "net.ipv4.tcp_rmem",
        Group.BUFFERS,
        True,
        receive,
        "the window grows to the third value: its size over the round trip is the fastest a"
        " connection can be",
        "long or fast links are filled; the sum of all stays within tcp_mem, which is not touched",
    ),
    Parameter(
        "net.ipv4.tcp_wmem",
        Group.BUFFERS,
        True,
        send,
        "what is sent and not yet acknowledged; the second value is what a connection starts with",
        "a batch of answers is taken at once; the sum of all stays within tcp_mem",
    ),
)

BY_KEY = {each.key: each for each in PARAMETERS}
