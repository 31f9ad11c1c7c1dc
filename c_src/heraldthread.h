/* What the herald's thread does, turn by turn, and what it shares with those who call the herald.
 * Only herald.c and its thread (heraldthread, heraldsend) look into this. */
#ifndef DROP_HERALDTHREAD_H
#define DROP_HERALDTHREAD_H

#include <pthread.h>

#include "herald.h"

/* packets received by one system call, and sent by one */
#define DROP_HERALD_BATCH 64u

struct drop_herald_line {
    int fd;
    int family;
    bool is_group; /* bound to a multicast address: it only receives */
    struct drop_place *destinations; /* sorted, in one block with those of the others */
    size_t count;
    uint64_t slice_ends; /* ns */
    uint32_t taken;      /* packets in this slice */
    bool is_paused;
    bool was_paused; /* since the last look after floods */
    uint32_t drops; /* the kernel's counter, as it was last */
};

/* A rate with a burst of a second. */
struct drop_herald_bucket {
    uint64_t filled_at; /* ns */
    uint64_t tokens;    /* ns of them: one costs a second / rate */
};

struct drop_herald_solicit {
    uint64_t due; /* ns */
    struct drop_place place;
};

/* Packets on their way out by one socket. */
struct drop_herald_outbox {
    uint16_t socket;
    unsigned count;
    struct drop_place places[DROP_HERALD_BATCH];
    uint16_t lengths[DROP_HERALD_BATCH];
    uint8_t packets[DROP_HERALD_BATCH][DROP_BEACON_MAX];
};

struct drop_herald_inbox {
    struct drop_place places[DROP_HERALD_BATCH];
    uint8_t packets[DROP_HERALD_BATCH][DROP_BEACON_MAX + 1]; /* one more shows an oversized one */
};

struct drop_herald {
    pthread_mutex_t mutex; /* everything below, but for the descriptors, which never change */
    int epoll;
    int wakeup; /* eventfd: something changes a time that the thread waits for */
    int event;  /* eventfd: there is something to take */
    pthread_t thread;
    bool is_running;
    bool is_stopping;

    struct drop_peers peers;
    struct drop_beacon_keys keys;
    struct drop_beacon content; /* node_id, text: below */
    struct drop_beacon_text text;
    uint64_t sequence;
    uint64_t interval; /* ns */
    bool has_left;

    struct drop_herald_line lines[DROP_HERALD_SOCKETS_MAX];
    size_t lines_count;
    struct drop_place *destinations;
    bool peers_too;

    uint64_t vouched_at;
    uint64_t beacon_at; /* ns; the next one */
    unsigned greetings; /* beacons with SOLICIT that were sent */
    uint64_t ask_at;    /* the next look after challenges */
    uint64_t look_at;   /* the next look after floods; DROP_NEVER: nothing has come */
    uint64_t rest_until;
    uint64_t random;

    struct drop_herald_bucket buckets[2]; /* of unverified, of verified */
    struct drop_herald_solicit solicits[DROP_HERALD_SOLICITS_MAX];
    size_t solicits_count;

    uint32_t budget; /* DROP_HERALD_BUDGET, but for tests on slow machines */
    uint64_t bad_max; /* DROP_HERALD_BAD_MAX, likewise */
    uint64_t bad; /* since the last look */
    uint64_t came; /* since the last look */
    unsigned calm; /* looks since the last one with a flood */
    uint64_t dropped_at; /* ns; the kernel has dropped some; 0: never */
    struct drop_herald_statistics counters;
    struct drop_herald_outbox outbox;
    struct drop_herald_inbox inbox;
};

/* The thread. */
void *drop_heraldthread_run(void *herald);

/* ---- heraldsend.c; all under the mutex ---- */

/* A number from 0 to `bound` - 1, for times only. */
uint64_t drop_heraldsend_random(struct drop_herald *herald, uint64_t bound);
/* Puts a packet of ours on its way; nothing happens without a key, content, a socket, a life. */
void drop_heraldsend_one(struct drop_herald *herald, const struct drop_place *place,
                         enum drop_beacon_type type, uint64_t nonce, uint16_t flags);
/* To all destinations, and with `peers` to verified peers that are none. */
void drop_heraldsend_all(struct drop_herald *herald, enum drop_beacon_type type, uint16_t flags,
                         bool peers);
/* Hands everything to the kernel. */
void drop_heraldsend_flush(struct drop_herald *herald);
/* A regular beacon, and when the next one is due. */
void drop_heraldsend_beacon(struct drop_herald *herald, uint64_t now);
/* Probe to a peer, at its last source and at its addresses. */
void drop_heraldsend_probe(struct drop_herald *herald, struct drop_peer *peer, uint64_t now);

#endif
