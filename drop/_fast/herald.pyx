"""Binds c_src/herald.h: the thread that says who we are and hears who the others are.

Python hands over keys, sockets and content, and takes what has changed; packets do not pass here.
Every call waits for the herald's mutex without the GIL.
"""

import os
import socket
import warnings
from ipaddress import ip_address
from typing import NamedTuple

from libc.string cimport memcpy, memset

PEERS_MAX = DROP_PEERS_MAX
SOCKETS_MAX = DROP_HERALD_SOCKETS_MAX
DESTINATIONS_MAX = DROP_HERALD_DESTINATIONS_MAX
NS_PER_MS = 1_000_000


class Peer(NamedTuple):
    """A node as its last packet says; `source` is the address that it came from."""

    node_id: bytes
    incarnation: int
    session: int
    name: str
    namespace: str
    version: str
    port: int
    addresses: tuple
    source: str
    key_id: str
    load: int
    cpus: int
    workers: int
    memory_mib: int
    silent_ms: int


class Heard(NamedTuple):
    """A node that is new, has changed, or has proved itself anew."""

    peer: Peer


class Left(NamedTuple):
    """A node has said that it goes."""

    node_id: bytes
    incarnation: int


class Conflict(NamedTuple):
    """Somebody else lives under our id, and has proved that it does."""

    incarnation: int
    session: int
    source: str


Happening = Heard | Left | Conflict


cdef str _source(const drop_place *place):
    cdef const uint8_t *at
    if place.address.any.sa_family == AF_INET:
        at = <const uint8_t *>&place.address.v4.sin_addr
        return str(ip_address(at[:4]))
    at = <const uint8_t *>&place.address.v6.sin6_addr
    text = str(ip_address(at[:16]))
    scope = place.address.v6.sin6_scope_id
    if scope == 0:
        return text
    try:
        return f"{text}%{socket.if_indextoname(scope)}"
    except OSError:  # the interface has gone
        return f"{text}%{scope}"


cdef tuple _addresses(bytes text, int count):
    addresses, at = [], 0
    for _ in range(count):
        size = 4 if text[at] == 4 else 16
        addresses.append(str(ip_address(text[at + 1:at + 1 + size])))
        at += 1 + size
    return tuple(addresses)


cdef object _peer(const drop_peer *peer, uint64_t silent_ns):
    cdef const drop_beacon_text *said = &peer.text
    cdef const drop_life *life = &peer.life if peer.life.incarnation else &peer.candidate
    cdef bytes text = (<const uint8_t *>said.bytes)[:said.length]
    names = said.name_length + said.namespace_length
    rest = names + said.version_length
    return Peer(
        (<const uint8_t *>peer.node_id)[:DROP_BEACON_ID], life.incarnation, life.session,
        text[:said.name_length].decode("ascii"), text[said.name_length:names].decode("ascii"),
        text[names:rest].decode("ascii"), peer.port, _addresses(text[rest:], said.addresses),
        _source(&peer.source), (<const uint8_t *>peer.key_id)[:4].hex(), peer.load, peer.cpus,
        peer.workers, peer.memory_mib, silent_ns // NS_PER_MS)


cdef int _place(drop_place *place, str address, int port, int scope) except -1:
    """Writes a numeric address; ValueError for anything else."""
    parsed = ip_address(address)
    cdef bytes packed = parsed.packed
    if not 0 < port < 65536:
        raise ValueError(f"a port of 1 to 65535 is expected, not {port}")
    memset(place, 0, sizeof(drop_place))
    if parsed.version == 4:
        place.address.v4.sin_family = AF_INET
        place.address.v4.sin_port = htons(port)
        memcpy(&place.address.v4.sin_addr, <const char *>packed, 4)
    else:
        place.address.v6.sin6_family = AF_INET6
        place.address.v6.sin6_port = htons(port)
        place.address.v6.sin6_scope_id = scope
        memcpy(&place.address.v6.sin6_addr, <const char *>packed, 16)
    return 0


cdef int _check_id(bytes node_id) except -1:
    if len(node_id) != DROP_BEACON_ID or not any(node_id):
        raise ValueError(f"a node id of {DROP_BEACON_ID} bytes, not all zero, is expected")
    return 0


cdef int _check(int error, str what) except -1:
    if error:
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return 0


cdef class Herald:
    """Beacons of one node, and the table of its peers, kept by the thread `drop-beacon`.

    Nothing is sent before there are keys, sockets and an announcement, nor when nobody has called
    vouch() for 10 s. Any thread may call. Stop it before it is dropped.
    """

    def __cinit__(self, *, bytes node_id not None, uint64_t incarnation, unsigned interval_ms,
                  uint32_t peers_max=4096):
        _check_id(node_id)
        cdef const uint8_t *id_c = node_id
        cdef int error
        if not 10 <= interval_ms <= 3_600_000:
            raise ValueError("interval_ms: 10 to 3600000 is expected")
        if not 1 <= peers_max <= DROP_PEERS_MAX or incarnation == 0:
            raise ValueError(f"peers_max: 1 to {DROP_PEERS_MAX}, incarnation: at least 1")
        with nogil:
            error = drop_herald_open(&self._herald, id_c, incarnation, interval_ms, peers_max)
        _check(error, "cannot make the thread of the beacons")

    @property
    def session(self):
        """Drawn at random for every life of the node."""
        cdef uint64_t session
        with nogil:
            session = drop_herald_session(self._herald)
        return session

    def start(self):
        """Starts the thread; does nothing when it runs. OSError after a stop."""
        if not self._running:
            _check(drop_herald_start(self._herald), "cannot start the thread of the beacons")
            self._running = True

    def stop(self):
        """Joins the thread and closes the sockets; more calls do nothing."""
        with nogil:
            drop_herald_stop(self._herald)
        self._running = False

    def event_fd(self):
        """A descriptor that is readable while take() has something; it stays the herald's."""
        return drop_herald_event_fd(self._herald)

    def take(self):
        """What has happened since the last call: Heard, Left, Conflict; a node's latest state."""
        cdef drop_peer peer
        cdef drop_peers_conflict conflict
        cdef uint64_t silent_ns = 0
        cdef int happening
        cdef bint is_conflict
        taken = []
        with nogil:
            is_conflict = drop_herald_take_conflict(self._herald, &conflict)
        if is_conflict:
            taken.append(Conflict(conflict.incarnation, conflict.session,
                                  _source(&conflict.source)))
        while len(taken) <= 2 * DROP_PEERS_MAX:
            with nogil:
                happening = drop_herald_take(self._herald, &peer, &silent_ns)
            if happening == DROP_PEERS_NOTHING:
                break
            if happening == DROP_PEERS_HEARD:
                taken.append(Heard(_peer(&peer, silent_ns)))
            else:
                taken.append(Left((<const uint8_t *>peer.node_id)[:DROP_BEACON_ID],
                                  peer.life.incarnation))
        return taken

    def set_keys(self, keys):
        """None, one or two keys of 32 bytes: the first signs, all verify. ValueError otherwise."""
        cdef drop_beacon_keys made
        cdef bytes key
        memset(&made, 0, sizeof(made))
        if len(keys) > DROP_BEACON_KEYS_MAX or any(len(each) != DROP_BEACON_KEY for each in keys):
            raise ValueError(f"at most {DROP_BEACON_KEYS_MAX} keys of {DROP_BEACON_KEY} bytes")
        for key in keys:
            drop_beacon_keys_add(&made, key)
        with nogil:
            drop_herald_set_keys(self._herald, &made)

    def set_sockets(self, sockets, *, bint peers_too=False):
        """Replaces all sockets: (descriptor, [(numeric address, port, scope id), ...]).

        The descriptors are the herald's from here on, unless this raises: OSError for what is no
        socket, ValueError for an address that is none or too many of them. With `peers_too`
        beacons also go to verified peers that are no destination.
        """
        cdef drop_herald_socket made[DROP_HERALD_SOCKETS_MAX]
        cdef drop_place places[DROP_HERALD_DESTINATIONS_MAX]
        cdef size_t count = len(sockets), total = 0
        cdef int error
        if (count > DROP_HERALD_SOCKETS_MAX
                or sum(len(where) for _, where in sockets) > DROP_HERALD_DESTINATIONS_MAX):
            raise ValueError(f"at most {DROP_HERALD_SOCKETS_MAX} sockets and "
                             f"{DROP_HERALD_DESTINATIONS_MAX} destinations")
        for i, (fd, where) in enumerate(sockets):
            made[i].fd = fd
            made[i].destinations = &places[total]
            made[i].count = len(where)
            for address, port, scope in where:
                _place(&places[total], address, port, scope)
                total += 1
        with nogil:
            error = drop_herald_set_sockets(self._herald, made, count, peers_too)
        _check(error, "cannot take the sockets for beacons")

    def announce(self, *, str name not None, str namespace not None, str version not None,
                 int port, addresses):
        """Sets what our beacons say, and sends one at once. ValueError: it does not fit there."""
        cdef drop_beacon content
        memset(&content, 0, sizeof(content))
        names = [part.encode("ascii") for part in (name, namespace, version)]
        packed = [ip_address(address).packed for address in addresses]
        cdef bytes text = b"".join(names + [bytes((4 if len(each) == 4 else 6,)) + each
                                            for each in packed])
        limits = (DROP_BEACON_NAME_MAX, DROP_BEACON_NAMESPACE_MAX, DROP_BEACON_VERSION_MAX)
        if (any(len(part) > limit for part, limit in zip(names, limits))
                or len(packed) > DROP_BEACON_ADDRESSES_MAX or not 0 <= port < 65536):
            raise ValueError("name and namespace of at most 64 bytes, a version of at most 16, at "
                             "most 8 addresses and a port of 0 to 65535 are expected")
        content.port = port
        content.name_length, content.namespace_length = len(names[0]), len(names[1])
        content.version_length = len(names[2])
        content.addresses = len(packed)
        content.text_length = len(text)
        content.text = text
        cdef int error
        with nogil:
            error = drop_herald_announce(self._herald, &content)
        if error:
            raise ValueError("a name of A-Z a-z 0-9 _ - . and printable namespace and version "
                             f"are expected, not {name!r}, {namespace!r}, {version!r}")

    def set_load(self, *, long long load, long long cpus, long long workers, long long memory_mib):
        """What the next beacons say of the machine; what is too large for its field is cut."""
        cdef drop_herald_load made
        made.load = <uint16_t>min(max(load, 0), 0xffff)
        made.cpus = <uint16_t>min(max(cpus, 0), 0xffff)
        made.workers = <uint32_t>min(max(workers, 0), 0xffffffff)
        made.memory_mib = <uint32_t>min(max(memory_mib, 0), 0xffffffff)
        with nogil:
            drop_herald_set_load(self._herald, &made)

    def set_identity(self, *, bytes node_id not None, uint64_t incarnation):
        """Begins a new life: a session is drawn, the sequence starts at 1."""
        _check_id(node_id)
        cdef const uint8_t *id_c = node_id
        cdef int error
        if incarnation == 0:
            raise ValueError("incarnation: at least 1 is expected")
        with nogil:
            error = drop_herald_set_identity(self._herald, id_c, incarnation)
        _check(error, "cannot draw a session")

    def probe(self, bytes node_id not None):
        """Asks a known peer whether it is there; False: it is unknown."""
        _check_id(node_id)
        cdef const uint8_t *id_c = node_id
        cdef bint known
        with nogil:
            known = drop_herald_probe(self._herald, id_c)
        return known

    def forget(self, bytes node_id not None):
        """Takes a peer out of the table; it is met anew when it is heard. False: unknown."""
        _check_id(node_id)
        cdef const uint8_t *id_c = node_id
        cdef bint known
        with nogil:
            known = drop_herald_forget(self._herald, id_c)
        return known

    def leave(self):
        """Tells everybody that we go; nothing is said any more until set_identity()."""
        with nogil:
            drop_herald_leave(self._herald)

    def vouch(self):
        """Says that the node works; to be called at least once in 10 s."""
        with nogil:
            drop_herald_vouch(self._herald)

    def silent(self, long long ms):
        """The verified peers that were not heard for at least `ms`: (id, ms of silence)."""
        cdef uint8_t node_id[DROP_BEACON_ID]
        cdef uint64_t silent_ns = 0, least = <uint64_t>max(ms, 0) * <uint64_t>NS_PER_MS
        cdef uint32_t cursor = 0
        cdef bint found = True
        peers = []
        while found:
            with nogil:
                found = drop_herald_next_silent(self._herald, least, &cursor, node_id, &silent_ns)
            if found:
                peers.append(((<const uint8_t *>node_id)[:DROP_BEACON_ID],
                              silent_ns // NS_PER_MS))
        return peers

    def peers(self):
        """All verified peers that have not left."""
        return self._listed(True)

    def unverified(self):
        """Those who were heard and have not yet answered a challenge."""
        return self._listed(False)

    cdef list _listed(self, bint verified):
        cdef drop_peer peer
        cdef uint64_t silent_ns = 0
        cdef uint32_t cursor = 0
        cdef bint found = True
        peers = []
        while found:
            with nogil:
                found = drop_herald_next(self._herald, verified, &cursor, &peer, &silent_ns)
            if found:
                peers.append(_peer(&peer, silent_ns))
        return peers

    def statistics(self):
        """Counters since the start; what they mean is in docs/beacons.md."""
        cdef drop_herald_statistics now
        with nogil:
            drop_herald_statistics_read(self._herald, &now)
        cdef const uint64_t *verdicts = now.verdicts
        return {
            "received": now.received, "accepted": verdicts[DROP_BEACON_ACCEPTED],
            "sent": now.sent, "send_errors": now.send_errors, "last_errno": now.last_errno,
            "truncated": verdicts[DROP_BEACON_TRUNCATED],
            "oversized": verdicts[DROP_BEACON_OVERSIZED],
            "magic": verdicts[DROP_BEACON_NO_MAGIC],
            "version": verdicts[DROP_BEACON_OTHER_VERSION],
            "malformed": verdicts[DROP_BEACON_MALFORMED],
            "foreign": verdicts[DROP_BEACON_FOREIGN], "forged": verdicts[DROP_BEACON_FORGED],
            "replayed": verdicts[DROP_BEACON_REPLAYED], "stale": verdicts[DROP_BEACON_STALE],
            "full": verdicts[DROP_BEACON_FULL], "own": verdicts[DROP_BEACON_OWN],
            "limited": now.limited, "kernel_dropped": now.kernel_dropped,
            "kernel_filtered": now.kernel_filtered, "evicted": now.evicted, "lost": now.lost,
            "paused": now.paused, "entries": now.peers, "filtered": int(now.is_filtered),
            "deaf": int(now.is_deaf), "hung": int(now.is_hung),
        }

    def __del__(self):
        if self._running:
            warnings.warn("the herald was never stopped", ResourceWarning, source=self)
            self.stop()

    def __dealloc__(self):
        if self._herald != NULL:
            drop_herald_close(self._herald)
