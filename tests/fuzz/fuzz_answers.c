/* Any bytes out of a worker, cut anywhere: as many answers come of them as the reference below
 * finds, with the same bytes and in order, and then the worker is gone or goes on as it should.
 *
 * The first byte says how: bits 0 and 1, the kind (line, frame, line with ncm); bits 2 to 4, the
 * size of the pieces; bit 5, a second pool subscribes that has no worker; bit 6, memory is short.
 */
#define _GNU_SOURCE
#include "../c/world.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())

enum { CALLS = 5, PAYLOAD_MAX = 300 };

/* Takes the next answer off the front; false: there is none. Written to be obviously right. */
static bool next_answer(int kind, const char **at, size_t *left, char *answer, size_t *length)
{
    size_t used;
    if (kind == 1) {
        if (*left < 4)
            return false;
        size_t size = (size_t)(uint8_t)(*at)[0] << 24 | (size_t)(uint8_t)(*at)[1] << 16
                      | (size_t)(uint8_t)(*at)[2] << 8 | (uint8_t)(*at)[3];
        if (size > PAYLOAD_MAX || *left - 4 < size)
            return false;
        memcpy(answer, *at + 4, size);
        *length = size;
        used = size + 4;
    } else {
        size_t size = 0;
        while (size < *left && (*at)[size] != '\n')
            size++;
        if (size == *left || size > PAYLOAD_MAX)
            return false;
        *length = 0;
        for (size_t i = 0; i < size; i++) {
            bool ncm = kind == 2 && size - i >= 5 && memcmp(*at + i, "\tncm\t", 5) == 0;
            answer[(*length)++] = ncm ? '\n' : (*at)[i];
            i += ncm ? 4 : 0;
        }
        used = size + 1;
    }
    *at += used;
    *left -= used;
    return true;
}

static void check_answers(struct world *world, struct world_client *client, int kind,
                          const char *bytes, size_t length, bool lossy)
{
    char answer[PAYLOAD_MAX + 1];
    size_t answer_length;
    for (uint64_t id = 1; id <= CALLS; id++) {
        struct world_frame frame = world_hear(world, client);
        bool whole = next_answer(kind, &bytes, &length, answer, &answer_length);
        if (lossy) /* of those that come at all: one answer each, and none twice */
            continue;
        DEMAND(frame.type == (whole ? DROP_ANSWER : frame.type));
        if (!whole || frame.code != DROP_OK)
            break;
        DEMAND(frame.id == id && frame.length == answer_length);
        DEMAND(answer_length == 0 || memcmp(frame.body, answer, answer_length) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t sizes[] = {1, 2, 3, 5, 16, 100, 1000, 65536};
    struct world world;
    if (size == 0)
        return 0;
    int kind = (data[0] & 3) % 3;
    size_t piece = sizes[data[0] >> 2 & 7];
    struct drop_reactor_options options = world_options();
    options.payload_max = PAYLOAD_MAX;
    world_open(&world, &options);
    struct drop_pool_options pool_options =
        world_pool_options("p", kind == 1 ? DROP_KIND_FRAME : DROP_KIND_LINE);
    pool_options.ncm = kind == 2;
    pool_options.inflight = CALLS;
    struct drop_pool *pool = world_pool_with(&world, &pool_options);
    if (data[0] & 0x20)
        world_subscribe(&world, pool, world_pool(&world, "q", DROP_KIND_FRAME), false, "");
    struct world_worker worker = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    for (uint64_t id = 1; id <= CALLS; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    if (data[0] & 0x40)
        world.reactor->memory.limit = world.reactor->memory.in_use + 600;
    for (size_t at = 1; at < size; at += piece) {
        world_write(&worker, data + at, piece < size - at ? piece : size - at);
        drop_reactor_turn(world.reactor);
    }
    bool lossy = data[0] & 0x60; /* the second pool's mailbox fills, or memory is used up */
    check_answers(&world, &client, kind, (const char *)data + 1, size - 1, lossy);
    world_die(&world, &worker);
    world_hang_up(&world, &client);
    DEMAND(world_close(&world) == 0);
    return 0;
}
