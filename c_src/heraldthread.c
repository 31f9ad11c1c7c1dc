#define _GNU_SOURCE
#include "heraldthread.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "heraldfilter.h"

/* between two looks after floods, ns */
#define LOOK_NS (100 * DROP_NS_PER_MS)
#define LOOKS_PER_SECOND 10u
/* Packets in a look from which on turns are paced: what comes faster is read in bursts. */
#define BUSY 500u
#define PACE_NS (1 * DROP_NS_PER_MS)
/* longest random delay of an answer to SOLICIT, ns */
#define SOLICIT_NS (100 * DROP_NS_PER_MS)
#define SECOND_NS UINT64_C(1000000000)
/* batches read in one turn of one socket: the others, and the callers, get theirs in between */
#define TURN_BATCHES 4u

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- what a packet asks for ---- */

/* Whether the rate of probes and answers allows one more. */
static bool may_answer(struct drop_herald *herald, bool is_verified, uint64_t now)
{
    struct drop_herald_bucket *bucket = &herald->buckets[is_verified];
    uint64_t cost = SECOND_NS / (DROP_HERALD_ANSWERS / 2);
    bucket->tokens = least(SECOND_NS, bucket->tokens + (now - bucket->filled_at));
    bucket->filled_at = now;
    if (bucket->tokens < cost) {
        herald->counters.limited++;
        return false;
    }
    bucket->tokens -= cost;
    return true;
}

static void keep_solicit(struct drop_herald *herald, const struct drop_place *place, uint64_t now)
{
    for (size_t i = 0; i < herald->solicits_count; i++)
        if (memcmp(&herald->solicits[i].place, place, sizeof *place) == 0)
            return;
    if (herald->solicits_count == DROP_HERALD_SOLICITS_MAX) {
        herald->counters.limited++;
        return;
    }
    herald->solicits[herald->solicits_count++] = (struct drop_herald_solicit){
        .due = now + drop_heraldsend_random(herald, SOLICIT_NS),
        .place = *place,
    };
}

static void react(struct drop_herald *herald, const struct drop_peers_outcome *outcome,
                  const struct drop_place *place, uint64_t now)
{
    if (now - herald->vouched_at > DROP_HERALD_VOUCH_NS)
        return;
    if (outcome->asks && may_answer(herald, outcome->is_verified, now))
        drop_heraldsend_one(herald, place, DROP_BEACON_BEACON, outcome->echo, 0);
    if (outcome->challenge && may_answer(herald, outcome->is_verified, now))
        drop_heraldsend_one(herald, place, DROP_BEACON_PROBE, outcome->nonce, 0);
    if (outcome->solicits)
        keep_solicit(herald, place, now);
}

/* ---- receiving ---- */

static void receive(struct drop_herald *herald, const struct drop_place *place,
                    const uint8_t *bytes, size_t length, uint64_t now)
{
    struct drop_peers_outcome outcome;
    enum drop_beacon_verdict verdict =
        drop_peers_receive(&herald->peers, &herald->keys, bytes, length, place, now, &outcome);
    herald->counters.received++;
    herald->counters.verdicts[verdict]++;
    if (verdict == DROP_BEACON_ACCEPTED)
        react(herald, &outcome, place, now);
    else
        herald->bad++; /* of our own, looped back, there are a few a second */
}

/* One system call; the packets that it brought. */
static unsigned receive_batch(struct drop_herald *herald, uint16_t socket, unsigned most,
                              uint64_t now)
{
    struct drop_herald_inbox *inbox = &herald->inbox;
    struct mmsghdr messages[DROP_HERALD_BATCH];
    struct iovec vectors[DROP_HERALD_BATCH];
    memset(messages, 0, most * sizeof *messages);
    memset(inbox->places, 0, most * sizeof *inbox->places);
    for (unsigned i = 0; i < most; i++) {
        vectors[i] = (struct iovec){inbox->packets[i], sizeof inbox->packets[i]};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &inbox->places[i].address,
            .msg_namelen = sizeof inbox->places[i].address,
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
        };
    }
    int came = recvmmsg(herald->lines[socket].fd, messages, most, MSG_DONTWAIT, NULL);
    for (int i = 0; i < came; i++) {
        inbox->places[i].socket = socket;
        receive(herald, &inbox->places[i], inbox->packets[i], messages[i].msg_len, now);
    }
    return came > 0 ? (unsigned)came : 0; /* an error of an earlier send shows here, once */
}

static void watch(struct drop_herald *herald, uint16_t socket, bool paused)
{
    struct drop_herald_line *line = &herald->lines[socket];
    struct epoll_event event = {.events = paused ? 0 : EPOLLIN, .data.u32 = socket};
    line->is_paused = paused;
    line->was_paused = line->was_paused || paused;
    epoll_ctl(herald->epoll, EPOLL_CTL_MOD, line->fd, &event);
}

static void serve(struct drop_herald *herald, uint16_t socket, uint64_t now)
{
    struct drop_herald_line *line = &herald->lines[socket];
    if (now >= line->slice_ends) {
        line->slice_ends = now + DROP_HERALD_SLICE_NS;
        line->taken = 0;
    }
    for (unsigned batch = 0; batch < TURN_BATCHES; batch++) {
        unsigned left = herald->budget - line->taken;
        unsigned most = left < DROP_HERALD_BATCH ? left : DROP_HERALD_BATCH;
        unsigned came = most ? receive_batch(herald, socket, most, now) : 0;
        line->taken += came;
        herald->came += came;
        if (came < most || line->taken == herald->budget)
            break;
    }
    if (line->taken == herald->budget && !line->is_paused) {
        herald->counters.paused++;
        watch(herald, socket, true);
    }
    if (herald->look_at == DROP_NEVER)
        herald->look_at = now + LOOK_NS;
}

/* ---- floods ---- */

/* Drops of the kernel since the last look. It counts those of the filter and those of a full queue
 * in one: while there is a filter they are its own, unless the queue may have been full, as the
 * budget was used up or it is found nearly so. */
static uint64_t count_drops(struct drop_herald *herald, uint64_t now)
{
    uint64_t filtered = 0;
    for (size_t i = 0; i < herald->lines_count; i++) {
        struct drop_herald_line *line = &herald->lines[i];
        uint32_t info[SK_MEMINFO_VARS] = {0};
        socklen_t length = sizeof info;
        if (getsockopt(line->fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0)
            continue;
        uint32_t drops = info[SK_MEMINFO_DROPS] - line->drops;
        bool is_full = info[SK_MEMINFO_RMEM_ALLOC] > info[SK_MEMINFO_RCVBUF] / 4 * 3;
        line->drops = info[SK_MEMINFO_DROPS];
        is_full = is_full || line->was_paused;
        line->was_paused = line->is_paused;
        if (herald->counters.is_filtered && !is_full) {
            filtered += drops;
        } else if (drops > 0) {
            herald->counters.kernel_dropped += drops;
            herald->dropped_at = now;
        }
    }
    herald->counters.kernel_filtered += filtered;
    return filtered;
}

static void set_filter(struct drop_herald *herald, bool wanted)
{
    for (size_t i = 0; i < herald->lines_count; i++) {
        if (wanted)
            drop_heraldfilter_attach(herald->lines[i].fd, &herald->keys);
        else
            drop_heraldfilter_detach(herald->lines[i].fd);
    }
    herald->counters.is_filtered = wanted;
}

static void look(struct drop_herald *herald, uint64_t now)
{
    uint64_t bad = herald->bad + count_drops(herald, now);
    bool is_flood = bad > herald->bad_max / LOOKS_PER_SECOND;
    herald->calm = is_flood ? 0 : herald->calm + 1;
    if (is_flood && !herald->counters.is_filtered)
        set_filter(herald, true);
    else if (herald->counters.is_filtered && herald->calm >= LOOKS_PER_SECOND)
        set_filter(herald, false);
    bool is_quiet = herald->came == 0 && !herald->counters.is_filtered;
    herald->look_at = is_quiet ? DROP_NEVER : now + LOOK_NS;
    herald->rest_until = herald->came > BUSY ? now + LOOK_NS : 0;
    herald->bad = herald->came = 0;
}

/* ---- times ---- */

static void answer_solicits(struct drop_herald *herald, uint64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < herald->solicits_count; i++) {
        if (herald->solicits[i].due > now)
            herald->solicits[kept++] = herald->solicits[i];
        else if (may_answer(herald, false, now))
            drop_heraldsend_one(herald, &herald->solicits[i].place, DROP_BEACON_BEACON, 0, 0);
    }
    herald->solicits_count = kept;
}

static void ask_again(struct drop_herald *herald, uint64_t now)
{
    uint32_t cursor = 0;
    uint64_t nonce;
    const struct drop_peer *peer;
    while ((peer = drop_peers_next_asked(&herald->peers, now, &cursor, &nonce)))
        if (may_answer(herald, peer->life.incarnation != 0, now))
            drop_heraldsend_one(herald, &peer->source, DROP_BEACON_PROBE, nonce, 0);
    herald->ask_at = now + herald->interval / 4;
}

static void do_what_is_due(struct drop_herald *herald, uint64_t now)
{
    if (now >= herald->beacon_at)
        drop_heraldsend_beacon(herald, now);
    if (herald->solicits_count > 0)
        answer_solicits(herald, now);
    if (now >= herald->ask_at)
        ask_again(herald, now);
    if (now >= herald->look_at)
        look(herald, now);
    for (uint16_t i = 0; i < herald->lines_count; i++)
        if (herald->lines[i].is_paused && now >= herald->lines[i].slice_ends)
            watch(herald, i, false);
}

static int patience(const struct drop_herald *herald, uint64_t now)
{
    uint64_t until = least(least(herald->beacon_at, herald->ask_at), herald->look_at);
    for (size_t i = 0; i < herald->solicits_count; i++)
        until = least(until, herald->solicits[i].due);
    for (size_t i = 0; i < herald->lines_count; i++)
        if (herald->lines[i].is_paused)
            until = least(until, herald->lines[i].slice_ends);
    return until <= now ? 0 : (int)((until - now + DROP_NS_PER_MS - 1) / DROP_NS_PER_MS);
}

static void tell(const struct drop_herald *herald)
{
    uint64_t one = 1;
    if (drop_peers_has_news(&herald->peers)) {
        ssize_t written = write(herald->event, &one, sizeof one);
        (void)written; /* EAGAIN: it is readable as it is */
    }
}

/* Under load a turn begins a millisecond after the last one: one wake-up for many packets. */
static void rest(uint64_t began)
{
    struct timespec until = {.tv_sec = (time_t)((began + PACE_NS) / SECOND_NS),
                             .tv_nsec = (long)((began + PACE_NS) % SECOND_NS)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

void *drop_heraldthread_run(void *argument)
{
    struct drop_herald *herald = argument;
    struct epoll_event events[DROP_HERALD_SOCKETS_MAX + 1];
    pthread_mutex_lock(&herald->mutex);
    while (!herald->is_stopping) {
        uint64_t now = drop_clock_ns();
        do_what_is_due(herald, now);
        drop_heraldsend_flush(herald);
        tell(herald);
        int wait = patience(herald, now);
        bool is_busy = now < herald->rest_until;
        pthread_mutex_unlock(&herald->mutex);
        if (is_busy)
            rest(now);
        int ready = epoll_wait(herald->epoll, events, DROP_HERALD_SOCKETS_MAX + 1, wait);
        pthread_mutex_lock(&herald->mutex);
        now = drop_clock_ns();
        for (int i = 0; i < ready; i++) {
            uint64_t ignored;
            uint32_t socket = events[i].data.u32;
            if (socket < herald->lines_count)
                serve(herald, (uint16_t)socket, now);
            else if (read(herald->wakeup, &ignored, sizeof ignored) < 0)
                continue; /* of a socket that was replaced meanwhile */
        }
    }
    pthread_mutex_unlock(&herald->mutex);
    return NULL;
}
