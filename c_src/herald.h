/* One thread, `drop-beacon`, that says who we are and hears who the others are.
 *
 * It owns the sockets it is given, sends our beacons at their times, challenges whom it does not
 * know (peers.h) and answers challenges, so a control plane that is busy does not look dead. But it
 * says nothing for a node that has not vouched for itself for DROP_HERALD_VOUCH_NS: one that hangs
 * must not look alive.
 *
 * All calls may come from any thread; they take the mutex, which the thread holds for a batch of
 * packets at most. No send ever blocks, and none that fails stops anything: it is counted.
 *
 * A flood costs a bounded part of one CPU. Each socket may bring DROP_HERALD_BUDGET packets in a
 * slice; then it is left alone until the next one, and the kernel drops what its queue does not
 * hold. When most of what comes is bad the kernel is given a filter (heraldfilter.h). */
#ifndef DROP_HERALD_H
#define DROP_HERALD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "beacon.h"
#include "peers.h"

/* sockets: two families, multicast and unicast, and as many again while they change */
#define DROP_HERALD_SOCKETS_MAX 8u
/* destinations in all: as many as a hosts file may name, and groups */
#define DROP_HERALD_DESTINATIONS_MAX 1032u
/* packets that one socket may bring in a slice: 100 000 a second, a tenth of a CPU */
#define DROP_HERALD_BUDGET 1000u
#define DROP_HERALD_SLICE_NS 10000000ull
/* probes and their answers a second, half of them for those who have been verified: recordings
 * that somebody plays do not use up what they get */
#define DROP_HERALD_ANSWERS 1000u
/* senders of SOLICIT that wait for their beacon; more are counted and get the next regular one */
#define DROP_HERALD_SOLICITS_MAX 256u
/* time without vouch() after which nothing is sent, ns */
#define DROP_HERALD_VOUCH_NS 10000000000ull
/* bad packets a second from which on the kernel filters */
#define DROP_HERALD_BAD_MAX 20000u
/* time for which a loss in the kernel makes us deaf, ns */
#define DROP_HERALD_DEAF_NS 2000000000ull
/* LEAVE packets to everybody: one may be lost */
#define DROP_HERALD_LEAVES 3u

struct drop_herald;

/* A socket and where its beacons go; the descriptor passes when the call succeeds. */
struct drop_herald_socket {
    int fd;
    const struct drop_place *destinations; /* `socket` is not looked at */
    size_t count;
};

struct drop_herald_load {
    uint16_t load;
    uint16_t cpus;
    uint32_t workers;
    uint32_t memory_mib;
};

struct drop_herald_statistics {
    uint64_t received;
    uint64_t verdicts[DROP_BEACON_VERDICTS];
    uint64_t sent;
    uint64_t send_errors;
    int last_errno;
    uint64_t limited; /* probes and answers over the rate */
    uint64_t kernel_dropped;
    uint64_t kernel_filtered;
    uint64_t evicted;
    uint64_t lost;
    uint64_t paused; /* slices whose budget was used up */
    uint32_t peers;  /* entries, verified or not */
    bool is_filtered;
    bool is_deaf;
    bool is_hung; /* nobody vouches */
};

/* Draws a session and a secret. 0 or an errno; close it. `interval_ms` 10..3 600 000. */
int drop_herald_open(struct drop_herald **herald, const uint8_t *node_id, uint64_t incarnation,
                     unsigned interval_ms, uint32_t peers_max);
/* Starts the thread; EALREADY: it runs. ESHUTDOWN: it was stopped. */
int drop_herald_start(struct drop_herald *herald);
/* Joins the thread and closes the sockets; more calls do nothing. */
void drop_herald_stop(struct drop_herald *herald);
/* Frees what was stopped or never started. */
void drop_herald_close(struct drop_herald *herald);

uint64_t drop_herald_session(struct drop_herald *herald);
/* Readable while there is something to take. */
int drop_herald_event_fd(const struct drop_herald *herald);

void drop_herald_set_keys(struct drop_herald *herald, const struct drop_beacon_keys *keys);
/* Replaces all sockets; those that are not among the new ones are closed. 0 or an errno, and then
 * nothing has changed. With `peers_too` beacons also go to every verified peer that is no
 * destination. */
int drop_herald_set_sockets(struct drop_herald *herald, const struct drop_herald_socket *sockets,
                            size_t count, bool peers_too);
/* Our content: port, lengths and text of `content`. EINVAL: they are not as they must be. */
int drop_herald_announce(struct drop_herald *herald, const struct drop_beacon *content);
void drop_herald_set_load(struct drop_herald *herald, const struct drop_herald_load *load);
/* 0 or an errno of getrandom. */
int drop_herald_set_identity(struct drop_herald *herald, const uint8_t *node_id,
                             uint64_t incarnation);
/* false: unknown. */
bool drop_herald_probe(struct drop_herald *herald, const uint8_t *node_id);
bool drop_herald_forget(struct drop_herald *herald, const uint8_t *node_id);
/* Says goodbye, and nothing more until set_identity. */
void drop_herald_leave(struct drop_herald *herald);
void drop_herald_vouch(struct drop_herald *herald);

/* Copies the next happening; `silent_ns` is how long the peer was not heard. Clears the event with
 * the last one. */
enum drop_peers_happening drop_herald_take(struct drop_herald *herald, struct drop_peer *peer,
                                           uint64_t *silent_ns);
bool drop_herald_take_conflict(struct drop_herald *herald, struct drop_peers_conflict *conflict);
/* Copies the next entry from *cursor on (0 at first): verified and not left, or unverified. */
bool drop_herald_next(struct drop_herald *herald, bool verified, uint32_t *cursor,
                      struct drop_peer *peer, uint64_t *silent_ns);
/* Likewise, only id and silence of verified peers that were silent for at least `least` ns. */
bool drop_herald_next_silent(struct drop_herald *herald, uint64_t least, uint32_t *cursor,
                             uint8_t *node_id, uint64_t *silent_ns);
void drop_herald_statistics(struct drop_herald *herald,
                            struct drop_herald_statistics *statistics);

#endif
