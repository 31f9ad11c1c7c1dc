#define _GNU_SOURCE
#include "heraldthread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "heraldplace.h"

/* beacons that ask for an answer, and the time from each to the next, ns */
#define GREETINGS 3u
static const uint64_t greeting_ns[GREETINGS] = {100 * DROP_NS_PER_MS, 200 * DROP_NS_PER_MS, 0};

uint64_t drop_heraldsend_random(struct drop_herald *herald, uint64_t bound)
{
    herald->random ^= herald->random << 13; /* xorshift64, by Marsaglia */
    herald->random ^= herald->random >> 7;
    herald->random ^= herald->random << 17;
    return bound ? herald->random % bound : 0;
}

/* ---- out ---- */

/* How many of the messages from `first` on are done with; a refused one is. */
static unsigned hand_over(struct drop_herald *herald, int fd, struct mmsghdr *messages,
                          unsigned count)
{
    int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        herald->counters.sent += (unsigned)sent;
        return (unsigned)sent;
    }
    if (errno == EINTR)
        return 0;
    herald->counters.send_errors++;
    herald->counters.last_errno = errno;
    return 1;
}

void drop_heraldsend_flush(struct drop_herald *herald)
{
    struct drop_herald_outbox *outbox = &herald->outbox;
    struct mmsghdr messages[DROP_HERALD_BATCH];
    struct iovec vectors[DROP_HERALD_BATCH];
    if (outbox->count == 0)
        return;
    memset(messages, 0, outbox->count * sizeof *messages);
    for (unsigned i = 0; i < outbox->count; i++) {
        vectors[i] = (struct iovec){outbox->packets[i], outbox->lengths[i]};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &outbox->places[i].address,
            .msg_namelen = drop_place_length(&outbox->places[i]),
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
        };
    }
    int fd = herald->lines[outbox->socket].fd;
    for (unsigned done = 0; done < outbox->count;)
        done += hand_over(herald, fd, messages + done, outbox->count - done);
    outbox->count = 0;
}

/* The socket for a place: the one that it came by, else the first of its family. Never that of a
 * group: what it sent would come from whatever address the routes choose, and not from ours. */
static bool find_socket(const struct drop_herald *herald, const struct drop_place *place,
                        uint16_t *socket)
{
    int family = place->address.any.sa_family;
    *socket = place->socket;
    if (*socket < herald->lines_count && herald->lines[*socket].family == family &&
        !herald->lines[*socket].is_group)
        return true;
    for (*socket = 0; *socket < herald->lines_count; ++*socket)
        if (herald->lines[*socket].family == family && !herald->lines[*socket].is_group)
            return true;
    return false;
}

static bool may_speak(const struct drop_herald *herald)
{
    return herald->keys.count > 0 && herald->text.length > 0 && !herald->has_left;
}

void drop_heraldsend_one(struct drop_herald *herald, const struct drop_place *place,
                         enum drop_beacon_type type, uint64_t nonce, uint16_t flags)
{
    struct drop_herald_outbox *outbox = &herald->outbox;
    uint16_t socket;
    if (!may_speak(herald) || !find_socket(herald, place, &socket))
        return;
    if (outbox->count == DROP_HERALD_BATCH || (outbox->count > 0 && outbox->socket != socket))
        drop_heraldsend_flush(herald);
    struct drop_beacon *beacon = &herald->content;
    beacon->type = (uint8_t)type;
    beacon->flags = flags;
    beacon->nonce = nonce;
    beacon->sequence = ++herald->sequence;
    beacon->incarnation = herald->peers.incarnation;
    beacon->session = herald->peers.session;
    beacon->node_id = herald->peers.node_id;
    beacon->text = herald->text.bytes;
    unsigned at = outbox->count++;
    outbox->socket = socket;
    outbox->places[at] = *place;
    outbox->lengths[at] = (uint16_t)drop_beacon_encode(beacon, &herald->keys, outbox->packets[at]);
}

/* ---- to whom ---- */

static bool is_destination(const struct drop_herald *herald, const struct drop_place *place)
{
    for (size_t i = 0; i < herald->lines_count; i++) {
        const struct drop_herald_line *line = &herald->lines[i];
        if (line->count > 0 && bsearch(place, line->destinations, line->count,
                                       sizeof *line->destinations, drop_place_compare))
            return true;
    }
    return false;
}

void drop_heraldsend_all(struct drop_herald *herald, enum drop_beacon_type type, uint16_t flags,
                         bool peers)
{
    for (size_t i = 0; i < herald->lines_count; i++)
        for (size_t j = 0; j < herald->lines[i].count; j++)
            drop_heraldsend_one(herald, &herald->lines[i].destinations[j], type, 0, flags);
    for (uint32_t i = 0; peers && i < herald->peers.high; i++) {
        const struct drop_peer *peer = &herald->peers.entries[i];
        if (drop_peers_is_there(peer) && !is_destination(herald, &peer->source))
            drop_heraldsend_one(herald, &peer->source, type, 0, flags);
    }
}

void drop_heraldsend_beacon(struct drop_herald *herald, uint64_t now)
{
    uint64_t tenth = herald->interval / 10;
    uint64_t wait = herald->interval - tenth + drop_heraldsend_random(herald, 2 * tenth);
    bool is_greeting = herald->greetings < GREETINGS;
    bool can = may_speak(herald) && herald->lines_count > 0;
    if (is_greeting && can && greeting_ns[herald->greetings] != 0)
        wait = greeting_ns[herald->greetings];
    herald->beacon_at = now + wait;
    if (!can || now - herald->vouched_at > DROP_HERALD_VOUCH_NS)
        return;
    herald->greetings += is_greeting;
    drop_heraldsend_all(herald, DROP_BEACON_BEACON, is_greeting ? DROP_BEACON_SOLICIT : 0,
                        herald->peers_too);
}

/* ---- probes ---- */

void drop_heraldsend_probe(struct drop_herald *herald, struct drop_peer *peer, uint64_t now)
{
    uint64_t nonce = drop_peers_ask(&herald->peers, peer, now);
    const struct drop_beacon_text *text = &peer->text;
    const uint8_t *at = text->bytes + text->name_length + text->namespace_length +
                        text->version_length;
    drop_heraldsend_one(herald, &peer->source, DROP_BEACON_PROBE, nonce, 0);
    for (unsigned i = 0; i < text->addresses; i++) {
        struct drop_place place;
        at += drop_place_from_text(&place, at, &peer->source);
        if (drop_place_compare(&place, &peer->source) != 0)
            drop_heraldsend_one(herald, &place, DROP_BEACON_PROBE, nonce, 0);
    }
}
