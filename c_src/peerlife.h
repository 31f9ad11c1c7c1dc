/* One life of a node, by incarnation and session, and which of its last 64 packets have come. */
#ifndef DROP_PEERLIFE_H
#define DROP_PEERLIFE_H

#include "peers.h"

static inline bool drop_life_is_same(const struct drop_life *life, const struct drop_beacon *beacon)
{
    return life->incarnation == beacon->incarnation && life->session == beacon->session;
}

static inline bool drop_life_is_later(const struct drop_beacon *beacon,
                                      const struct drop_life *life)
{
    return beacon->incarnation > life->incarnation ||
           (beacon->incarnation == life->incarnation && beacon->session > life->session);
}

/* Whether a packet has come before, or may have: what is behind the window counts as seen. */
static inline bool drop_life_has_seen(const struct drop_life *life, uint64_t sequence)
{
    if (sequence > life->top)
        return false;
    uint64_t age = life->top - sequence;
    return age >= 64 || (life->seen >> age & 1) != 0;
}

static inline void drop_life_mark_seen(struct drop_life *life, uint64_t sequence)
{
    if (sequence > life->top) {
        uint64_t step = sequence - life->top;
        life->seen = step >= 64 ? 1 : life->seen << step | 1;
        life->top = sequence;
    } else {
        life->seen |= UINT64_C(1) << (life->top - sequence);
    }
}

static inline void drop_life_begin(struct drop_life *life, const struct drop_beacon *beacon)
{
    *life = (struct drop_life){.incarnation = beacon->incarnation,
                               .session = beacon->session,
                               .top = beacon->sequence,
                               .seen = 1};
}

#endif
