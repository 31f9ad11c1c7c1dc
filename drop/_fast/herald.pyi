from collections.abc import Sequence
from typing import NamedTuple

PEERS_MAX: int
SOCKETS_MAX: int
DESTINATIONS_MAX: int

class Peer(NamedTuple):
    node_id: bytes
    incarnation: int
    session: int
    name: str
    namespace: str
    version: str
    port: int
    addresses: tuple[str, ...]
    source: str
    key_id: str
    load: int
    cpus: int
    workers: int
    memory_mib: int
    silent_ms: int

class Heard(NamedTuple):
    peer: Peer

class Left(NamedTuple):
    node_id: bytes
    incarnation: int

class Conflict(NamedTuple):
    incarnation: int
    session: int
    source: str

Happening = Heard | Left | Conflict

class Herald:
    def __init__(
        self, *, node_id: bytes, incarnation: int, interval_ms: int, peers_max: int = ...
    ) -> None: ...
    @property
    def session(self) -> int: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def event_fd(self) -> int: ...
    def take(self) -> list[Happening]: ...
    def set_keys(self, keys: Sequence[bytes]) -> None: ...
    def set_sockets(
        self,
        sockets: Sequence[tuple[int, Sequence[tuple[str, int, int]]]],
        *,
        peers_too: bool = ...,
    ) -> None: ...
    def announce(
        self, *, name: str, namespace: str, version: str, port: int, addresses: Sequence[str]
    ) -> None: ...
    def set_load(self, *, load: int, cpus: int, workers: int, memory_mib: int) -> None: ...
    def set_identity(self, *, node_id: bytes, incarnation: int) -> None: ...
    def probe(self, node_id: bytes) -> bool: ...
    def forget(self, node_id: bytes) -> bool: ...
    def leave(self) -> None: ...
    def vouch(self) -> None: ...
    def silent(self, ms: int) -> list[tuple[bytes, int]]: ...
    def peers(self) -> list[Peer]: ...
    def unverified(self) -> list[Peer]: ...
    def statistics(self) -> dict[str, int]: ...
