"""The node's control groups: made, limited, and removed with all that is still in them.

    OWN GROUP / drop-NODE-HASH / pool-NAME / SLOT        in each hierarchy that is used

A slot's group stays when its worker ends, for the next one. Which files are written with what is
decided in `drop.host.cgroup_tree`; joining a group is the child's own first act (c_src/cgroup.h).

Version 2 allows no processes in a group that hands controllers on to others, so the node moves
itself into a group of its own beside those of the pools.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
from collections.abc import Iterable

from drop.host.cgroup_tree import (
    CONTROLLERS,
    CPU_WEIGHT,
    Limits,
    Place,
    Setting,
    Version,
    node_group,
    places,
    pool_group,
    settings,
    weight,
)

NODE_LEAF = "drop-node"
NODE_WEIGHT = 1000
"""The node itself is not starved by its functions."""
KILL_PASSES = 10
KILL_MS = 100  # for each pass; a process that hangs in the kernel longer is left to the next start

NO_CONTROLLER = "this machine has no such controller of control groups mounted"
DELEGATE = (
    "let a service manager give the node a group of its own: Delegate=yes in its unit, or "
    "`systemd-run --scope -p Delegate=yes drop-node run`"
)


class NodeGroups:
    """The groups of one node; `open` finds out what can be had here."""

    def __init__(self, name: str, found: Iterable[Place]) -> None:
        self._name = name
        self._places = tuple(found)
        self._versions: dict[str, Version] = {}
        self._parents: dict[str, str] = {}  # by controller: the node's group
        self.problems: dict[str, str] = {}
        """By controller: why it cannot be used. Those that can are not in it."""
        self._pools: dict[str, PoolGroups] = {}
        self._left: list[str] = []

    @classmethod
    def open(cls, node: str, var_dir: str, *, process: str = "/proc/self") -> NodeGroups:
        """Kills and removes what an earlier node of this directory has left behind."""
        groups = cls(node_group(node, var_dir), own_places(process))
        for place in groups._places:
            remove_tree(os.path.join(place.directory, groups._name))
        for controller in CONTROLLERS:
            groups._open(controller)
        return groups

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(self._parents)

    def pool(self, name: str, slots: int, limits: Limits) -> PoolGroups:
        """The groups of a pool; those of its slots are made when they are first needed.

        A limit whose controller cannot be used is not kept: look at `problems`. Raises OSError.
        """
        self._sweep()
        pool = self._pools[name] = PoolGroups(self, name)
        try:
            pool.update(slots, limits)
        except OSError:
            pool.remove()
            raise
        return pool

    def close(self) -> None:
        """Kills what is in them and removes all groups."""
        for pool in list(self._pools.values()):
            pool.remove()
        self._sweep()
        for directory in set(self._parents.values()):
            remove_tree(directory)

    def _open(self, controller: str) -> None:
        place = _place_of(controller, self._places)
        if place is None:
            self.problems[controller] = NO_CONTROLLER
            return
        directory = os.path.join(place.directory, self._name)
        try:
            if place.version == 2:
                _delegate(place.directory, controller)
            os.makedirs(directory, exist_ok=True)
            if place.version == 2:
                _enable(directory, controller)
            _require(directory, controller)
        except OSError as error:
            self.problems[controller] = _reason(place, error)
        else:
            self._parents[controller] = directory
            self._versions[controller] = place.version

    def _sweep(self) -> None:
        """Try again to remove what was still in use."""
        self._left = [directory for directory in self._left if not remove_tree(directory)]

    def _weigh(self) -> None:
        """The node's group weighs what its pools do together: a weight of 100 is that of any other
        process, however many groups it is in."""
        if "cpu" in self._parents:
            total = sum(pool.weight for pool in self._pools.values())
            _write(self._parents["cpu"], weight(self._versions["cpu"], total or CPU_WEIGHT))


class PoolGroups:
    """The groups of one pool. `directories` is what a recipe needs: in each, a slot has a group
    that is named by its number."""

    def __init__(self, node: NodeGroups, name: str) -> None:
        self._node = node
        self._name = name
        self._limits = Limits()
        self._prepared: set[int] = set()
        self.slots = 0
        self.directories: tuple[str, ...] = ()

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def weight(self) -> int:
        return self._limits.cpu * self.slots if "cpu" in self._controllers() else 0

    def update(self, slots: int, limits: Limits) -> None:
        """Other limits hold at once, also for workers that run; the number of slots may differ.

        Directories that are not needed any more stay until `remove`: workers may be in them.
        Raises OSError.
        """
        self._limits, self.slots = limits, slots
        made = {self._directory(controller): controller for controller in self._controllers()}
        for directory, controller in made.items():
            os.makedirs(directory, exist_ok=True)
            if self._version(controller) == 2:
                for each in self._controllers():
                    _enable(directory, each)
        self.directories = tuple(made)
        prepared, self._prepared = self._prepared, set()
        for slot in prepared:
            self.prepare(slot)
        if self.weight:
            _write(self._directory("cpu"), weight(self._version("cpu"), self.weight))
        self._node._weigh()

    def prepare(self, slot: int) -> None:
        """Make the groups of a slot, with their limits, unless they are there. Raises OSError."""
        if slot in self._prepared:
            return
        for controller in self._controllers():
            directory = os.path.join(self._directory(controller), str(slot))
            os.makedirs(directory, exist_ok=True)
            for setting in settings(self._version(controller), controller, self._limits):
                _write(directory, setting)
        self._prepared.add(slot)

    def remove(self) -> None:
        """Kill what is left in them. What does not go at once goes at the next occasion."""
        self._node._pools.pop(self._name, None)
        for parent in set(self._node._parents.values()):
            directory = os.path.join(parent, pool_group(self._name))
            if not remove_tree(directory):
                self._node._left.append(directory)
        self._node._weigh()

    def _controllers(self) -> tuple[str, ...]:
        return tuple(each for each in self._limits.controllers() if each in self._node._parents)

    def _directory(self, controller: str) -> str:
        return os.path.join(self._node._parents[controller], pool_group(self._name))

    def _version(self, controller: str) -> Version:
        return self._node._versions[controller]


def own_places(process: str = "/proc/self") -> tuple[Place, ...]:
    """Where this process is; nowhere where the kernel has no control groups."""
    try:
        return places(_read(f"{process}/cgroup"), _read(f"{process}/mountinfo"))
    except FileNotFoundError:
        return ()


def survey(process: str = "/proc/self") -> dict[str, str]:
    """What a node that is started where this process is could not use, and why, by controller.

    Changes nothing, so a node may find more than this."""
    found = own_places(process)
    problems = {}
    for controller in CONTROLLERS:
        place = _place_of(controller, found)
        if place is None:
            problems[controller] = NO_CONTROLLER
            continue
        try:
            _look(place, controller)
        except OSError as error:
            problems[controller] = _reason(place, error)
    return problems


def _look(place: Place, controller: str) -> None:
    """Raises what the first use would raise."""
    if os.statvfs(place.directory).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(place.directory, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    if place.version == 1:
        return
    own = place.directory
    if controller not in _read(f"{own}/cgroup.controllers").split():
        raise OSError(errno.ENOENT, f"{own} has no {controller} controller")
    others = set(_read(f"{own}/cgroup.procs").split()) - {str(os.getpid())}
    if others and os.path.exists(f"{own}/cgroup.type"):  # which the root does not have
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def remove_tree(directory: str) -> bool:
    """Kill all in a group and those below it, and remove them; False when something is left."""
    gone = True
    for group, _, _ in os.walk(directory, topdown=False):
        gone = _kill(group) and _removed(group) and gone
    return gone


def _removed(group: str) -> bool:
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY: somebody is in it
        return False
    return True


def _kill(group: str) -> bool:
    """Kill and wait until they have ended; False when some have not, or when we may not."""
    for _ in range(KILL_PASSES):
        try:
            pids = [int(word) for word in _read(f"{group}/cgroup.procs").split()]
        except OSError:
            return True
        if not pids:
            return True
        if os.getpid() in pids or not _kill_all(pids):
            return False
    return False


def _kill_all(pids: list[int]) -> bool:
    """Kill them and wait until they have ended; by descriptors, so that it is nobody else."""
    with contextlib.ExitStack() as stack:
        living = select.poll()
        count = 0
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
                stack.callback(os.close, fd)
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            except PermissionError:
                return False
            except OSError:  # it has ended; or there are no more descriptors until others have
                continue
            living.register(fd, select.POLLIN)
            count += 1
        while count and (ended := living.poll(KILL_MS)):
            for fd, _ in ended:
                living.unregister(fd)
            count -= len(ended)
    return True


def _place_of(controller: str, found: tuple[Place, ...]) -> Place | None:
    """Version 1 where it has the controller: then version 2 does not."""
    for place in found:
        if controller in place.controllers:
            return place
    return next((place for place in found if place.version == 2), None)


def _delegate(own: str, controller: str) -> None:
    """Have groups beside the node's own leaf get the controller. Raises OSError."""
    if controller not in _read(f"{own}/cgroup.controllers").split():
        raise OSError(errno.ENOENT, f"{own} has no {controller} controller")
    if controller in _read(f"{own}/cgroup.subtree_control").split():
        return
    leaf = os.path.join(own, NODE_LEAF)
    if str(os.getpid()) in _read(f"{own}/cgroup.procs").split():
        os.makedirs(leaf, exist_ok=True)
        _write(leaf, Setting("cgroup.procs", str(os.getpid())))
    _enable(own, controller)
    if controller == "cpu" and os.path.isdir(leaf):
        _write(leaf, weight(2, NODE_WEIGHT))


def _enable(directory: str, controller: str) -> None:
    _write(directory, Setting("cgroup.subtree_control", f"+{controller}"))


def _require(directory: str, controller: str) -> None:
    """A group that was made must have the files of the controller and be ours to write to."""
    if not os.access(f"{directory}/cgroup.procs", os.W_OK):
        raise PermissionError(errno.EACCES, f"{directory} may not be written to by this user")


def _reason(place: Place, error: OSError) -> str:
    where = place.directory
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"the node's own group {where} belongs to somebody else; run it as root, or " + (
                DELEGATE if place.version == 2 else "give that directory to the node's user"
            )
        case errno.EROFS:
            return f"{where} is mounted read-only, as in a container"
        case errno.EBUSY:
            return f"other processes are in the node's own group {where}; {DELEGATE}"
        case errno.ENOENT:
            return f"{error.strerror}; {DELEGATE}"
    return f"{where}: {error.strerror}"


def _write(directory: str, setting: Setting) -> None:
    try:
        with open(os.path.join(directory, setting.file), "w") as file:
            file.write(setting.text)
    except OSError as error:
        if not setting.optional:
            error.filename = os.path.join(directory, setting.file)
            raise


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
