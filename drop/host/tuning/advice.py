"""What a value should be, computed from memory, cores and profile. Pure.

The table of parameters uses it. The figures come from the kernel's own documents, named in the
comments: Documentation/networking/ip-sysctl.rst and
Documentation/admin-guide/sysctl/{vm,net,kernel,fs}.rst.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

DESCRIPTORS = 65_536
"""What a node asks for when it starts (drop.host.limits); more would be of no use to it."""
BACKLOG = 4096
"""What a node asks listen() for (drop.host.sockets); a larger somaxconn would be of no use."""


class Profile(StrEnum):
    THROUGHPUT = "throughput"
    LATENCY = "latency"
    EDGE = "edge"  # little memory, flash, links that come and go


class Policy(StrEnum):
    """When a value that is there already is as good as the recommended one."""

    AT_LEAST = "at-least"
    AT_MOST = "at-most"
    IF_ZERO = "if-zero"  # anything but 0 is somebody's decision
    EXACTLY = "exactly"  # a choice between modes, no quantity


@dataclass(frozen=True, slots=True)
class Machine:
    memory: int  # bytes
    cores: int
    kernel: tuple[int, int]  # 6, 18


@dataclass(frozen=True, slots=True)
class Advice:
    values: tuple[int, ...]  # three of them for tcp_rmem and tcp_wmem
    policy: Policy


Compute = Callable[[Machine, Profile], Advice | None]


def fixed(policy: Policy, *values: int) -> Compute:
    return lambda machine, profile: Advice(values, policy)


def by_profile(policy: Policy, throughput: int, latency: int, edge: int) -> Compute:
    by = {Profile.THROUGHPUT: throughput, Profile.LATENCY: latency, Profile.EDGE: edge}
    return lambda machine, profile: Advice((by[profile],), policy)


def _power(value: int, low: int, high: int) -> int:
    """The power of two that is at most `value`, within low and high."""
    return max(low, min(high, 1 << max(0, value.bit_length() - 1)))


def _dirty(machine: Machine, profile: Profile) -> int:
    """Percent that may be dirty before a writer has to write it itself.

    vm.rst: dirty_ratio is a percentage of available memory, 20 by default: 20 GiB on a large
    machine, minutes of a disk's time. Bounded to what a disk of 200 MB/s writes in 10 s.
    """
    bytes_max = {Profile.THROUGHPUT: 2 * GIB, Profile.LATENCY: GIB // 2, Profile.EDGE: GIB // 8}
    ceiling = 20 if profile is Profile.THROUGHPUT else 10
    return max(2, min(ceiling, bytes_max[profile] * 100 // machine.memory))


def dirty_ratio(machine: Machine, profile: Profile) -> Advice:
    return Advice((_dirty(machine, profile),), Policy.AT_MOST)


def dirty_background(machine: Machine, profile: Profile) -> Advice:
    # vm.rst: 10 of 20 by default. The writers in the background begin at a quarter, so that they
    # are done before anybody is made to wait.
    return Advice((max(1, _dirty(machine, profile) // 4),), Policy.AT_MOST)


def cache_pressure(machine: Machine, profile: Profile) -> Advice | None:
    # vm.rst: 100 is "fair" to caches of pages and of names; 0 may end in out of memory.
    return None if profile is Profile.EDGE else Advice((50,), Policy.AT_MOST)


def writeback(machine: Machine, profile: Profile) -> Advice:
    if profile is Profile.EDGE:
        return Advice((1500,), Policy.AT_LEAST)
    return Advice((100 if profile is Profile.LATENCY else 500,), Policy.AT_MOST)


def netdev_backlog(machine: Machine, profile: Profile) -> Advice:
    # net.rst: packets queued per CPU when an interface is faster than the kernel; 1000 by default.
    # All full queues together are held to 1/64 of the memory; a packet of 1500 bytes has a
    # truesize of 2304.
    room = machine.memory // 64 // machine.cores // 2304
    high = {Profile.THROUGHPUT: 16_384, Profile.LATENCY: 4096, Profile.EDGE: 2048}
    return Advice((_power(room, 1000, high[profile]),), Policy.AT_LEAST)


def time_wait(machine: Machine, profile: Profile) -> Advice:
    # ip-sysctl.rst: never to be lowered, "rather increase it (probably, after increasing installed
    # memory)". One takes about 256 bytes: 1/256 of the memory at most.
    high = 65_536 if profile is Profile.EDGE else 262_144
    return Advice((_power(machine.memory // (64 * KIB), 16_384, high),), Policy.AT_LEAST)


def _buffer(machine: Machine, profile: Profile) -> int:
    """Bytes that one socket may have at most: 16 MiB is what 10 Gbit/s needs over 13 ms.

    ip-sysctl.rst: tcp_wmem[2] is 64 KiB to 4 MiB by memory, tcp_rmem[2] to 32 MiB (6 MiB in
    older kernels). Ours is at most 1/256 of the memory.
    """
    high = {Profile.THROUGHPUT: 16 * MIB, Profile.LATENCY: 8 * MIB, Profile.EDGE: 2 * MIB}
    return _power(machine.memory // 256, 256 * KIB, high[profile])


def buffer_max(machine: Machine, profile: Profile) -> Advice:
    return Advice((_buffer(machine, profile),), Policy.AT_LEAST)


def buffer_default(machine: Machine, profile: Profile) -> Advice:
    # net.rst: the size a socket starts with. 212 992 (208 KiB) by default: 256 small packets.
    high = 256 * KIB if profile is Profile.EDGE else MIB
    return Advice((_power(machine.memory // (16 * KIB), 212_992, high),), Policy.AT_LEAST)


def receive(machine: Machine, profile: Profile) -> Advice:
    # The first two are the kernel's own: 4096 and 131 072; the window grows by itself.
    return Advice((4096, 131_072, _buffer(machine, profile)), Policy.AT_LEAST)


def send(machine: Machine, profile: Profile) -> Advice:
    # 16 384 by default; 64 KiB hold the answers of one turn of the reactor.
    start = 16_384 if profile is Profile.EDGE else 65_536
    return Advice((4096, start, _buffer(machine, profile)), Policy.AT_LEAST)
