/* Who is there: the bounded table of other nodes, and the verdict on each packet that arrives.
 *
 * Pure: time is an argument, nothing is sent here. One caller at a time. Memory is taken once.
 *
 * A node lives in lives: (incarnation, session), where the greater pair is the later one. A life is
 * *verified* when it has echoed a challenge of ours. Before that its packets, however well signed,
 * may be a recording; they make an entry that is asked DROP_PEERS_ASKS_MAX times and then goes. A
 * verified life that was silent for DROP_PEERS_DOUBT intervals must echo again before it counts as
 * heard: what an attacker holds back and plays later brings nobody to life either.
 *
 * Challenges are not kept: the nonce is a MAC over life and time under a secret of this process, as
 * a SYN cookie is. So an echo is recognised whatever the table has room for, and recordings of
 * other lives of a node cannot push its challenge out.
 *
 * What has happened is kept as a mark in the entry and not in a queue: however seldom it is taken,
 * it needs no memory, and the news of a node is its latest state. */
#ifndef DROP_PEERS_H
#define DROP_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "beacon.h"

/* questions to somebody who does not answer, one each interval, before its entry goes */
#define DROP_PEERS_ASKS_MAX 8u
/* Intervals of silence after which a verified node has to echo again. By then others take it for
 * dead (docs/discovery.md); sooner, ordinary beacons would be worth nothing just when some are lost
 * and each one counts. */
#define DROP_PEERS_DOUBT 8u
/* intervals in which a challenge may be echoed at least; at most twice as long */
#define DROP_PEERS_EPOCH 8u
/* entries, an upper bound for the option; 600 B each */
#define DROP_PEERS_MAX 65536u

/* Where a packet came from: an address, and the socket, by its number, that received it. */
union drop_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct drop_place {
    union drop_address address;
    uint16_t socket;
};

/* One life, and which of its last 64 packets have come. incarnation 0: none. */
struct drop_life {
    uint64_t incarnation;
    uint64_t session;
    uint64_t top;  /* highest sequence */
    uint64_t seen; /* bit n: top - n */
};

struct drop_peer {
    uint8_t node_id[DROP_BEACON_ID];
    struct drop_life life;      /* verified */
    struct drop_life candidate; /* a later one that is asked for an echo */
    uint64_t heard_at;          /* ns; of an unverified one: when its entry was made */
    uint64_t asked_at;
    uint8_t asks;
    bool is_used;
    bool has_left;
    bool is_new;    /* to be taken: heard */
    bool is_gone;   /* to be taken: left */
    bool is_queued; /* in the list of those to be taken */
    uint32_t next;  /* in that list, or in the list of free entries */
    struct drop_place source;
    uint8_t key_id[4];
    uint16_t port;
    uint16_t load;
    uint16_t cpus;
    uint32_t workers;
    uint32_t memory_mib;
    struct drop_beacon_text text;
};

struct drop_peers_conflict {
    bool is_new;
    uint64_t incarnation;
    uint64_t session;
    struct drop_place source;
};

struct drop_peers {
    uint8_t node_id[DROP_BEACON_ID]; /* our own life */
    uint64_t incarnation;
    uint64_t session;
    uint64_t interval; /* ns */
    struct drop_blake2s challenges;
    uint64_t seed;
    uint32_t *index; /* open addressing: number of an entry + 1, 0: none */
    uint32_t mask;
    struct drop_peer *entries;
    uint32_t capacity;
    uint32_t high; /* entries from here on were never used */
    uint32_t used;
    uint32_t first_free; /* numbers + 1, 0: none */
    uint32_t first_queued;
    uint32_t last_queued;
    struct drop_peers_conflict conflict;
    uint64_t evicted; /* unverified entries that did not answer, or that made room */
    uint64_t lost;    /* happenings of entries that made room */
};

struct drop_peers_options {
    const uint8_t *node_id;
    uint64_t incarnation;
    uint64_t session;
    uint64_t interval; /* ns */
    uint32_t capacity; /* 1..DROP_PEERS_MAX */
    const uint8_t *secret; /* 32 random bytes */
};

/* What is to be done about a packet that was accepted. */
struct drop_peers_outcome {
    bool asks;        /* it is a probe: a beacon with `echo` is to go to where it came from */
    bool solicits;    /* it wants a beacon soon */
    bool is_verified; /* it is from a verified life */
    bool challenge;   /* a probe with `nonce` is to go to where it came from */
    uint64_t echo;
    uint64_t nonce;
};

enum drop_peers_happening {
    DROP_PEERS_NOTHING,
    DROP_PEERS_HEARD,
    DROP_PEERS_LEFT,
};

/* 0, or ENOMEM or EINVAL. */
int drop_peers_init(struct drop_peers *peers, const struct drop_peers_options *options);
void drop_peers_close(struct drop_peers *peers);

/* Another life of ours, or another id: both ids are forgotten, so that who has them now is met
 * anew. */
void drop_peers_set_identity(struct drop_peers *peers, const uint8_t *node_id, uint64_t incarnation,
                             uint64_t session);

/* A packet has come. The outcome is all false when it was dropped. */
enum drop_beacon_verdict drop_peers_receive(struct drop_peers *peers,
                                            const struct drop_beacon_keys *keys,
                                            const uint8_t *bytes, size_t length,
                                            const struct drop_place *source, uint64_t now,
                                            struct drop_peers_outcome *outcome);

/* The next entry that is to be asked (again) now, with the nonce; NULL: that was all. Entries that
 * have not answered go. `cursor` starts at 0. To be done once an interval, or more often. */
struct drop_peer *drop_peers_next_asked(struct drop_peers *peers, uint64_t now, uint32_t *cursor,
                                        uint64_t *nonce);

/* The entry of a node, verified or not; NULL: unknown. */
struct drop_peer *drop_peers_find(const struct drop_peers *peers, const uint8_t *node_id);

/* Starts to ask a peer; the nonce for it. */
uint64_t drop_peers_ask(struct drop_peers *peers, struct drop_peer *peer, uint64_t now);

void drop_peers_forget(struct drop_peers *peers, struct drop_peer *peer);

/* Takes one happening; the entry is as it is now. */
enum drop_peers_happening drop_peers_take(struct drop_peers *peers, struct drop_peer **peer);
bool drop_peers_take_conflict(struct drop_peers *peers, struct drop_peers_conflict *conflict);
/* Whether there is something to take. */
bool drop_peers_has_news(const struct drop_peers *peers);

/* A verified node that has not left. */
static inline bool drop_peers_is_there(const struct drop_peer *peer)
{
    return peer->is_used && peer->life.incarnation != 0 && !peer->has_left;
}

#endif
