"""Declarations of c_src/herald.h, and of what it takes and gives: beacons, peers, addresses."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"

cdef extern from "<netinet/in.h>" nogil:
    enum:
        AF_INET
        AF_INET6

    struct in_addr:
        pass

    struct in6_addr:
        pass

    struct sockaddr:
        unsigned short sa_family

    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr

    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id

    uint16_t htons(uint16_t value)

cdef extern from "beacon.h" nogil:
    enum:
        DROP_BEACON_ID
        DROP_BEACON_KEY
        DROP_BEACON_KEYS_MAX
        DROP_BEACON_NAME_MAX
        DROP_BEACON_NAMESPACE_MAX
        DROP_BEACON_VERSION_MAX
        DROP_BEACON_ADDRESSES_MAX
        DROP_BEACON_ACCEPTED
        DROP_BEACON_TRUNCATED
        DROP_BEACON_OVERSIZED
        DROP_BEACON_NO_MAGIC
        DROP_BEACON_OTHER_VERSION
        DROP_BEACON_MALFORMED
        DROP_BEACON_FOREIGN
        DROP_BEACON_FORGED
        DROP_BEACON_REPLAYED
        DROP_BEACON_STALE
        DROP_BEACON_FULL
        DROP_BEACON_OWN
        DROP_BEACON_VERDICTS

    struct drop_beacon_keys:
        size_t count

    struct drop_beacon_text:
        uint8_t name_length
        uint8_t namespace_length
        uint8_t version_length
        uint8_t addresses
        uint16_t length
        uint8_t bytes[1]

    struct drop_beacon:
        uint16_t port
        uint8_t name_length
        uint8_t namespace_length
        uint8_t version_length
        uint8_t addresses
        uint16_t text_length
        const uint8_t *text

    c_bool drop_beacon_keys_add(drop_beacon_keys *keys, const uint8_t *key)

cdef extern from "peers.h" nogil:
    enum:
        DROP_PEERS_MAX

    union drop_address:
        sockaddr any
        sockaddr_in v4
        sockaddr_in6 v6

    struct drop_place:
        drop_address address

    struct drop_life:
        uint64_t incarnation
        uint64_t session

    struct drop_peer:
        uint8_t node_id[16]
        drop_life life
        drop_life candidate
        drop_place source
        uint8_t key_id[4]
        uint16_t port
        uint16_t load
        uint16_t cpus
        uint32_t workers
        uint32_t memory_mib
        drop_beacon_text text

    struct drop_peers_conflict:
        uint64_t incarnation
        uint64_t session
        drop_place source

    ctypedef int drop_peers_happening "enum drop_peers_happening"
    enum:
        DROP_PEERS_NOTHING
        DROP_PEERS_HEARD
        DROP_PEERS_LEFT

cdef extern from "herald.h" nogil:
    enum:
        DROP_HERALD_SOCKETS_MAX
        DROP_HERALD_DESTINATIONS_MAX

    struct drop_herald:
        pass

    struct drop_herald_socket:
        int fd
        const drop_place *destinations
        size_t count

    struct drop_herald_load:
        uint16_t load
        uint16_t cpus
        uint32_t workers
        uint32_t memory_mib

    struct drop_herald_statistics:
        uint64_t received
        uint64_t verdicts[1]
        uint64_t sent
        uint64_t send_errors
        int last_errno
        uint64_t limited
        uint64_t kernel_dropped
        uint64_t kernel_filtered
        uint64_t evicted
        uint64_t lost
        uint64_t paused
        uint32_t peers
        c_bool is_filtered
        c_bool is_deaf
        c_bool is_hung

    int drop_herald_open(drop_herald **herald, const uint8_t *node_id, uint64_t incarnation,
                         unsigned interval_ms, uint32_t peers_max)
    int drop_herald_start(drop_herald *herald)
    void drop_herald_stop(drop_herald *herald)
    void drop_herald_close(drop_herald *herald)
    uint64_t drop_herald_session(drop_herald *herald)
    int drop_herald_event_fd(const drop_herald *herald)
    void drop_herald_set_keys(drop_herald *herald, const drop_beacon_keys *keys)
    int drop_herald_set_sockets(drop_herald *herald, const drop_herald_socket *sockets,
                                size_t count, c_bool peers_too)
    int drop_herald_announce(drop_herald *herald, const drop_beacon *content)
    void drop_herald_set_load(drop_herald *herald, const drop_herald_load *load)
    int drop_herald_set_identity(drop_herald *herald, const uint8_t *node_id,
                                 uint64_t incarnation)
    c_bool drop_herald_probe(drop_herald *herald, const uint8_t *node_id)
    c_bool drop_herald_forget(drop_herald *herald, const uint8_t *node_id)
    void drop_herald_leave(drop_herald *herald)
    void drop_herald_vouch(drop_herald *herald)
    drop_peers_happening drop_herald_take(drop_herald *herald, drop_peer *peer,
                                          uint64_t *silent_ns)
    c_bool drop_herald_take_conflict(drop_herald *herald, drop_peers_conflict *conflict)
    c_bool drop_herald_next(drop_herald *herald, c_bool verified, uint32_t *cursor,
                            drop_peer *peer, uint64_t *silent_ns)
    c_bool drop_herald_next_silent(drop_herald *herald, uint64_t least, uint32_t *cursor,
                                   uint8_t *node_id, uint64_t *silent_ns)
    void drop_herald_statistics_read "drop_herald_statistics" (
        drop_herald *herald, drop_herald_statistics *statistics)


cdef class Herald:
    cdef drop_herald *_herald
    cdef bint _running
    cdef list _listed(self, bint verified)
