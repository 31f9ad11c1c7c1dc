/* Large messages in a world: sent and received whole, whatever the kind, and never held twice. */
#ifndef LARGE_H
#define LARGE_H

#include "stage.h"

enum {
    LARGE_LENGTH = 900000, /* more than DROP_LARGE, less than WORLD_PAYLOAD_MAX */
    LARGE_HELD_MAX = 1400000, /* what one costs at most, in a block that grew by half again */
};

struct large {
    char payload[LARGE_LENGTH]; /* without a newline */
    char bytes[2 * WORLD_PAYLOAD_MAX];
};

static inline void large_fill(struct large *large)
{
    for (size_t i = 0; i < LARGE_LENGTH; i++)
        large->payload[i] = (char)('0' + i % 61);
}

/* Sends all of it, with as many turns as that takes. */
static inline void large_send_bytes(struct world *world, const struct world_client *client,
                                    const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t sent = world_send(client, bytes + at, length - at);
        world_turn(world);
        if (!sent && errno != EAGAIN)
            return; /* the node hung up */
        at += sent;
    }
}

/* A large CALL, CAST or PUBLISH and, when `ping` says so, a PING behind it in the same write. */
static inline void large_send(struct large *large, struct world *world,
                              const struct world_client *client, enum drop_frame_type type,
                              uint64_t id, const char *name, bool ping)
{
    size_t length = world_put(large->bytes, type, id, name, large->payload, LARGE_LENGTH);
    if (ping)
        length += world_put(large->bytes + length, DROP_PING, id, "", "", 0);
    large_send_bytes(world, client, large->bytes, length);
}

/* What is in front of the payload in a worker's pipe, as its kind frames it. */
static inline size_t large_before(enum drop_kind kind, const char *token, size_t length,
                                  char prefix[32])
{
    if (kind == DROP_KIND_ASYNC)
        return (size_t)snprintf(prefix, 32, "%s::", token);
    if (kind == DROP_KIND_FRAME)
        drop_length_put(prefix, (uint32_t)length);
    return kind == DROP_KIND_FRAME ? DROP_LENGTH_PREFIX : 0;
}

/* Takes one large message out of the worker's stdin; whether it is what was sent. */
static inline bool large_take(struct large *large, struct world *world,
                              const struct world_worker *worker, enum drop_kind kind,
                              const char *token)
{
    char prefix[32];
    size_t before = large_before(kind, token, LARGE_LENGTH, prefix);
    size_t behind = kind != DROP_KIND_FRAME, total = before + LARGE_LENGTH + behind;
    size_t have = 0;
    for (int idle = 0; have < total && idle < 3; idle++) {
        ssize_t count = read(worker->input, large->bytes + have, total - have);
        if (count > 0) {
            have += (size_t)count;
            idle = 0;
        }
        world_turn(world);
    }
    return have == total && memcmp(large->bytes, prefix, before) == 0
           && memcmp(large->bytes + before, large->payload, LARGE_LENGTH) == 0
           && (!behind || large->bytes[total - 1] == '\n');
}

/* The worker answers with the same, and what stands in `behind` follows in the same write. How much
 * of it the node took. */
static inline size_t large_give(struct large *large, struct world *world,
                                const struct world_worker *worker, enum drop_kind kind,
                                const char *token, const char *behind)
{
    size_t length = large_before(kind, token, LARGE_LENGTH, large->bytes);
    memcpy(large->bytes + length, large->payload, LARGE_LENGTH);
    length += LARGE_LENGTH;
    if (kind != DROP_KIND_FRAME)
        large->bytes[length++] = '\n';
    memcpy(large->bytes + length, behind, strlen(behind));
    length += strlen(behind);
    size_t at = 0;
    for (int idle = 0; at < length && idle < 3; idle++) {
        size_t wrote = world_write(worker, large->bytes + at, length - at);
        at += wrote;
        idle = wrote ? 0 : idle;
        world_turn(world);
    }
    return at;
}

/* Whether the frame is the answer with the same. */
static inline bool large_is_answer(const struct large *large, const struct world_frame *frame,
                                   uint64_t id)
{
    return frame->type == DROP_ANSWER && frame->id == id && frame->code == DROP_OK
           && frame->length == LARGE_LENGTH
           && memcmp(frame->body, large->payload, LARGE_LENGTH) == 0;
}

#endif
