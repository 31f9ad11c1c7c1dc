"""What each worker is given besides its program: variables of files, and files with secrets.

Everything is read when a worker starts, so a worker that comes back has what holds by then. What
each one was given is remembered as digests; `changes` compares them with what there is now.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from drop.errors import ConfigurationError
from drop.secrets.credentials import VARIABLE, Credentials, Owner
from drop.secrets.environment_file import FILE_BYTES_MAX, parse
from drop.secrets.rotation import KINDS, Decision, Item, Seen, decide, users
from drop.secrets.store import SecretStore
from drop.secrets.value import Secret, SecretError, not_set


class NotProvided(Exception):
    """A worker cannot be given what its function needs; the text says what, where, and what to do.

    Trying again will not help before somebody changes something.
    """


@dataclass(frozen=True, slots=True)
class Wants:
    """What a function says that its workers need."""

    secrets: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    """Absolute paths; of two that have a variable, the later one's counts."""
    place: str = field(default="", compare=False)
    """FILE:LINE of the function, for people."""


class Given:
    """What one worker (or the processes of one pool of kind exec) was given, until `release`."""

    def __init__(
        self, variables: Mapping[str, str], directory: str | None, release: Callable[[], None]
    ) -> None:
        self._variables = variables
        self.directory = directory
        """What $CREDENTIALS_DIRECTORY is; None without secrets."""
        self.release = release
        """To be called once, when the worker has ended, or has not been started after all."""

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """With `env` of the flow, which wins over files; our own variable wins over both."""
        own = {} if self.directory is None else {VARIABLE: self.directory}
        return {**self._variables, **env, **own}


class Provision:
    def __init__(
        self, store: SecretStore, credentials: Credentials, warn: Callable[[str], None]
    ) -> None:
        """`warn` gets a text for people about what is not as it should be, and stops nothing."""
        self._store = store
        self._credentials = credentials
        self._warn = warn
        self._warned = False
        self._key = os.urandom(32)  # digests of short secrets could be guessed without one
        self._given: dict[str, dict[object, Seen]] = {}

    def clear(self) -> None:
        """At the start, what a killed node left behind; at the end, the place of the workers."""
        try:
            self._credentials.clear()
        except OSError as error:
            where = error.filename or "the directory for them"
            self._warn(f"secrets of workers are left in {where}: {error.strerror}")

    def for_worker(self, pool: str, worker: int, wants: Wants, owner: Owner | None = None) -> Given:
        """Raises NotProvided. `owner`: the user that the worker will run as; None: the node's."""
        if not wants.secrets and not wants.env_files:
            self._given.get(pool, {}).pop(worker, None)
            return Given({}, None, _nothing)
        reading = _Reading(self._store, self._key, wants)
        given = self._given.setdefault(pool, {})
        given.pop(worker, None)  # of an attempt that failed
        if reading.faults:
            given[worker] = reading.seen
            raise NotProvided("; ".join(reading.faults))
        directory = self._directory(reading.secrets, wants, owner)
        token = object()  # a successor of the same number may start before this one has ended
        given[token] = reading.seen

        def release() -> None:
            self._given.get(pool, {}).pop(token, None)
            if directory is not None:
                self._remove(directory)

        return Given(reading.variables, directory, release)

    def changes(self, pools: Collection[str]) -> Decision:
        """Which of the pools that there are run with something old. The decision, not the deed."""
        self._given = {pool: self._given[pool] for pool in self._given if pool in pools}
        decision = decide({pool: each.values() for pool, each in self._given.items()}, self._now())
        for changed in decision.replace:  # their failed attempts are settled with this
            given = self._given[changed.pool]
            self._given[changed.pool] = {k: v for k, v in given.items() if not isinstance(k, int)}
        return decision

    def users(self, name: str) -> tuple[str, ...]:
        """The pools whose workers have a secret, or wait for it."""
        given = {pool: each.values() for pool, each in self._given.items()}
        return users(given, Item("secret", name))

    def missing(self, pools: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Secrets that pools wait for, by name, with those pools."""
        items = {
            item
            for pool, given in self._given.items()
            if pool in pools
            for seen in given.values()
            for item, digest in seen.items()
            if item.kind == "secret" and digest is None
        }
        return {item.name: self.users(item.name) for item in sorted(items)}

    def faults(self, items: Iterable[Item]) -> str:
        """What is wrong with these at this moment."""
        return "; ".join(self._read(items).faults)

    def _now(self) -> Seen:
        """What there is at this moment of everything that workers have."""
        given = (seen for each in self._given.values() for seen in each.values())
        return self._read({item for seen in given for item in seen}).seen

    def _read(self, items: Iterable[Item]) -> _Reading:
        names = {kind: sorted(i.name for i in items if i.kind == kind) for kind in KINDS}
        wants = Wants(tuple(names["secret"]), tuple(names["env_file"]))
        return _Reading(self._store, self._key, wants)

    def _directory(
        self, secrets: Mapping[str, Secret], wants: Wants, owner: Owner | None
    ) -> str | None:
        if not secrets:
            return None
        try:
            directory = self._credentials.make(secrets, owner)
        except OSError as error:
            where = error.filename or "the directory for them"
            text = f"secrets cannot be handed over: {where}: {error.strerror}"
            raise NotProvided(_at(wants.place, text)) from None
        if self._credentials.on_disk and not self._warned:
            self._warned = True
            self._warn(
                "there is no tmpfs for the secrets of workers (/run/drop, XDG_RUNTIME_DIR): they "
                f"are written to {os.path.dirname(directory)}, and removed when a worker ends"
            )
        return directory

    def _remove(self, directory: str) -> None:
        try:
            self._credentials.remove(directory)
        except OSError as error:
            self._warn(f"secrets of a worker are left in {directory}: {error.strerror}")


class _Reading:
    """Everything that a function wants, as it is now, and what is wrong with it."""

    def __init__(self, store: SecretStore, key: bytes, wants: Wants) -> None:
        self._key = key
        self.faults: list[str] = []
        self.seen: dict[Item, bytes | None] = {}
        self.secrets = dict(self._read_secrets(store, wants))
        self.variables: dict[str, str] = {}
        for path in wants.env_files:
            self._read_file(path, wants.place)

    def _read_secrets(self, store: SecretStore, wants: Wants) -> Iterator[tuple[str, Secret]]:
        absent = []
        for name in wants.secrets:
            secret = None
            try:
                secret = store.get(name)
            except SecretError as error:
                self.faults.append(_at(wants.place, str(error)))
            else:
                absent += [name] if secret is None else []
            self.seen[Item("secret", name)] = None
            if secret is not None:
                self.seen[Item("secret", name)] = self._digest(secret.reveal())
                yield name, secret
        if absent:
            self.faults.append(_at(wants.place, not_set(absent)))

    def _read_file(self, path: str, place: str) -> None:
        item = Item("env_file", path)
        self.seen[item] = None
        try:
            data = _bytes_of(path)
            self.variables.update(parse(data, path))
            self.seen[item] = self._digest(data)
        except ConfigurationError as error:
            self.faults += [_at(place, line) for line in str(error).splitlines()]

    def _digest(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, key=self._key, digest_size=32).digest()


def _bytes_of(path: str) -> bytes:
    """At most a byte more than may be. Raises ConfigurationError."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not hang the node.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError("is not a file", file=path, expected="NAME=VALUE lines")
            return stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message, expected = f"cannot be read: {error.strerror}", "a file of NAME=VALUE lines"
        raise ConfigurationError(message, file=path, expected=expected) from None


def _at(place: str, text: str) -> str:
    return f"{place}: {text}" if place else text


def _nothing() -> None:
    """Nothing was given, nothing is to be taken back."""
