/* Any bytes out of a worker, cut anywhere: as many answers come of them as the reference below
 * finds, with the same bytes and in order, and then the worker is gone or goes on as it should.
 *
 * The first byte says how: bits 0 and 1, the kind (line, frame, line with ncm, async); bits 2 to 4,
 * the size of the pieces; bit 5, a second pool subscribes that has no worker; bit 6, memory is
 * short; bit 7, kind stream, whose events the client gets.
 */
#define _GNU_SOURCE
#include "../c/world.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())

enum { CALLS = 5, PAYLOAD_MAX = 300, PREFIX_MAX = 18 };

enum kind { LINE, FRAME, NCM, ASYNC, STREAM };

/* What the worker wrote, and how far the reference has read it. */
struct said {
    const char *at;
    size_t left;
};

struct answer {
    uint64_t id;
    char bytes[PAYLOAD_MAX + PREFIX_MAX + 1];
    size_t length;
};

/* Takes a line of at most `max` bytes; false: there is none. */
static bool next_line(struct said *said, size_t max, struct answer *answer)
{
    size_t size = 0;
    while (size < said->left && said->at[size] != '\n')
        size++;
    if (size == said->left || size > max)
        return false;
    memcpy(answer->bytes, said->at, size);
    answer->length = size;
    said->at += size + 1;
    said->left -= size + 1;
    return true;
}

static bool next_frame(struct said *said, struct answer *answer)
{
    const unsigned char *at = (const unsigned char *)said->at;
    if (said->left < 4)
        return false;
    size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    if (size > PAYLOAD_MAX || said->left - 4 < size)
        return false;
    memcpy(answer->bytes, said->at + 4, size);
    answer->length = size;
    said->at += size + 4;
    said->left -= size + 4;
    return true;
}

static void undo_ncm(struct answer *answer)
{
    size_t length = 0;
    for (size_t i = 0; i < answer->length; i++) {
        bool ncm = answer->length - i >= 5 && memcmp(answer->bytes + i, "\tncm\t", 5) == 0;
        answer->bytes[length++] = ncm ? '\n' : answer->bytes[i];
        i += ncm ? 4 : 0;
    }
    answer->length = length;
}

/* The next line that begins with a token that was not answered. Call N has the token N - 1. */
static bool next_tokened(struct said *said, bool answered[CALLS + 1], struct answer *answer)
{
    while (next_line(said, PAYLOAD_MAX + PREFIX_MAX, answer)) {
        char *bytes = answer->bytes;
        uint64_t id = (uint64_t)(bytes[0] - '0') + 1;
        if (answer->length < 3 || bytes[0] < '0' || id > CALLS || bytes[1] != ':'
            || bytes[2] != ':' || answered[id])
            continue;
        if (answer->length - 3 > PAYLOAD_MAX)
            return false;
        answered[id] = true;
        answer->id = id;
        answer->length -= 3;
        memmove(bytes, bytes + 3, answer->length);
        return true;
    }
    return false;
}

/* The next answer; false: there is none, or it breaks the contract. Written to be obviously right.
 */
static bool next_answer(enum kind kind, struct said *said, bool answered[CALLS + 1],
                        struct answer *answer)
{
    answer->id++;
    if (kind == ASYNC)
        return next_tokened(said, answered, answer);
    if (kind == FRAME)
        return next_frame(said, answer);
    if (!next_line(said, PAYLOAD_MAX, answer))
        return false;
    if (kind == NCM)
        undo_ncm(answer);
    return true;
}

static void check_answers(struct world *world, struct world_client *client, enum kind kind,
                          struct said said, bool lossy)
{
    struct answer answer = {0};
    bool answered[CALLS + 1] = {false};
    for (unsigned calls = 0; calls < CALLS; calls++) {
        bool whole = next_answer(kind, &said, answered, &answer);
        struct world_frame frame = world_hear(world, client);
        if (lossy) /* of those that come at all: one answer each, and none twice */
            continue;
        DEMAND(frame.type == (whole ? DROP_ANSWER : frame.type));
        if (!whole || frame.code != DROP_OK)
            break;
        DEMAND(frame.id == answer.id && frame.length == answer.length);
        DEMAND(answer.length == 0 || memcmp(frame.body, answer.bytes, answer.length) == 0);
    }
}

/* Of a source: every line is an event, and what stands behind the last one when it has ended. */
static void check_events(struct world *world, struct world_client *client,
                         struct world_worker *worker, struct said said, bool lossy)
{
    struct answer answer = {0};
    struct world_frame frame;
    while (next_line(&said, PAYLOAD_MAX, &answer)) {
        frame = world_hear(world, client);
        if (lossy)
            continue;
        DEMAND(frame.type == DROP_EVENT && frame.length == answer.length);
        DEMAND(answer.length == 0 || memcmp(frame.body, answer.bytes, answer.length) == 0);
    }
    world_die(world, worker);
    frame = world_hear(world, client);
    if (lossy)
        return;
    bool rest = said.left && said.left <= PAYLOAD_MAX;
    DEMAND(frame.type == (rest ? DROP_EVENT : 0));
    DEMAND(!rest || (frame.length == said.left && memcmp(frame.body, said.at, said.left) == 0));
}

static void ask(struct world *world, struct world_client *client, bool source)
{
    if (source) {
        world_ask(client, DROP_SUBSCRIBE, 1, "p", "");
        DEMAND(world_hear(world, client).code == DROP_OK);
        return;
    }
    for (uint64_t id = 1; id <= CALLS; id++)
        world_ask(client, DROP_CALL, id, "p", "x");
    world_turn(world);
}

static enum kind kind_of(uint8_t how)
{
    return how & 0x80 ? STREAM : (enum kind)(how & 3);
}

static struct drop_pool *make_pool(struct world *world, uint8_t how)
{
    static const enum drop_kind kinds[] = {DROP_KIND_LINE, DROP_KIND_FRAME, DROP_KIND_LINE,
                                           DROP_KIND_ASYNC, DROP_KIND_STREAM};
    struct drop_pool_options options = world_pool_options("p", kinds[kind_of(how)]);
    options.ncm = kind_of(how) == NCM;
    options.inflight = CALLS;
    struct drop_pool *pool = world_pool_with(world, &options);
    if (how & 0x20)
        world_subscribe(world, pool, world_pool(world, "q", DROP_KIND_FRAME), false, "");
    return pool;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t sizes[] = {1, 2, 3, 5, 16, 100, 1000, 65536};
    struct world world;
    if (size == 0)
        return 0;
    size_t piece = sizes[data[0] >> 2 & 7];
    struct drop_reactor_options options = world_options();
    options.payload_max = PAYLOAD_MAX;
    world_open(&world, &options);
    struct drop_pool *pool = make_pool(&world, data[0]);
    struct world_worker worker = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    ask(&world, &client, kind_of(data[0]) == STREAM);
    if (data[0] & 0x40)
        world.reactor->memory.limit = world.reactor->memory.in_use + 600;
    for (size_t at = 1; at < size; at += piece) {
        world_write(&worker, data + at, piece < size - at ? piece : size - at);
        drop_reactor_turn(world.reactor);
    }
    bool lossy = data[0] & 0x60; /* the second pool's mailbox fills, or memory is used up */
    struct said said = {(const char *)data + 1, size - 1};
    if (kind_of(data[0]) == STREAM)
        check_events(&world, &client, &worker, said, lossy);
    else
        check_answers(&world, &client, kind_of(data[0]), said, lossy);
    world_die(&world, &worker);
    world_hang_up(&world, &client);
    DEMAND(world_close(&world) == 0);
    return 0;
}
