/* Any bytes into a connection, cut anywhere, before pools of every kind whose worker echoes: the
 * node answers a call once and nothing that was not asked, sends well-formed frames only, and has
 * nothing open in the end.
 *
 * The first byte says how: bit 0, a good HELLO goes in front; bits 1 to 3, the size of the pieces;
 * bit 4, the client hangs up early; bit 5, memory is short; bit 6, the client reads at the end.
 */
#define _GNU_SOURCE
#include "../c/world.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())

enum { POOLS = 5 };

/* Ids are the input's own and need not differ, so what is counted is calls and answers. */
struct seen {
    size_t asked; /* frames that get an ANSWER, in the bytes that were sent */
    size_t answers;
    bool gone; /* GOAWAY or the end of the stream */
};

static void make_pools(struct world *world, struct world_worker *workers)
{
    static const char *const names[POOLS] = {"l", "f", "n", "b", "o"};
    for (int i = 0; i < POOLS; i++) {
        struct drop_pool_options options =
            world_pool_options(names[i], i == 1 ? DROP_KIND_FRAME : DROP_KIND_LINE);
        options.ncm = i == 2;
        options.overflow = i == 3   ? DROP_OVERFLOW_BLOCK
                           : i == 4 ? DROP_OVERFLOW_OLDEST
                                    : DROP_OVERFLOW_DEFAULT;
        options.queue = 2;
        workers[i] = world_worker(world, world_pool_with(world, &options));
    }
}

/* As many as there can be at the most: every header that a frame could start with. */
static size_t count_asked(const char *bytes, size_t length)
{
    size_t count = 0;
    while (length >= DROP_FRAME_HEADER) {
        struct drop_frame frame;
        if (drop_frame_header(bytes, &frame))
            break;
        count += frame.type != DROP_HELLO && frame.type != DROP_CAST && frame.type != DROP_PING
                 && frame.type != DROP_CANCEL;
        uint64_t total = (uint64_t)frame.body_length + DROP_FRAME_HEADER;
        if (total > length)
            break;
        bytes += total;
        length -= (size_t)total;
    }
    return count;
}

static void look(struct world_client *client, struct seen *seen)
{
    struct world_frame frame;
    seen->gone |= !world_receive(client);
    while (client->bytes && world_frame(client, &frame)) {
        DEMAND(frame.type >= DROP_WELCOME && frame.code < DROP_STATUS_COUNT);
        DEMAND(frame.type != DROP_PONG || frame.length <= DROP_PING_MAX);
        seen->answers += frame.type == DROP_ANSWER;
        seen->gone |= frame.type == DROP_GOAWAY;
    }
}

static void echo(struct world_worker *workers)
{
    char bytes[4096];
    for (int i = 0; i < POOLS; i++) {
        ssize_t count = read(workers[i].input, bytes, sizeof bytes);
        if (count > 0 && write(workers[i].output, bytes, (size_t)count) != count)
            abort();
    }
}

static void talk(struct world *world, struct world_client *client, struct world_worker *workers,
                 uint8_t how, const char *bytes, size_t length)
{
    static const size_t sizes[] = {1, 2, 7, 16, 17, 100, 1000, 65536};
    size_t piece = sizes[how >> 1 & 7];
    struct seen seen = {.asked = count_asked(bytes, length)};
    for (size_t at = 0; at < length; at += piece) {
        size_t size = piece < length - at ? piece : length - at;
        if (world_send(client, bytes + at, size) != size)
            break;
        drop_reactor_turn(world->reactor);
        echo(workers);
        if (!(how & 0x40))
            look(client, &seen);
    }
    if (how & 0x10)
        return;
    shutdown(client->fd, SHUT_WR);
    for (int i = 0; i < 100 && !seen.gone; i++) {
        world_turn(world);
        echo(workers);
        look(client, &seen);
    }
    DEMAND(seen.answers <= seen.asked);
    DEMAND(seen.gone || world->reactor->pending || client->connection->outstanding == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct drop_reactor_options options = world_options();
    struct world world;
    struct world_worker workers[POOLS];
    if (size == 0)
        return 0;
    options.payload_max = 1000;
    options.calls_max = 3;
    world_open(&world, &options);
    make_pools(&world, workers);
    struct world_client client = world_connect(&world, true);
    if (data[0] & 0x20)
        world.reactor->memory.limit = world.reactor->memory.in_use + 1500;
    char *bytes = malloc(size + 64);
    world_need(bytes != NULL, "malloc");
    size_t length = data[0] & 1 ? world_put_hello(bytes) : 0;
    memcpy(bytes + length, data + 1, size - 1);
    talk(&world, &client, workers, data[0], bytes, length + size - 1);
    free(bytes);
    world_hang_up(&world, &client);
    for (int i = 0; i < POOLS; i++)
        world_die(&world, &workers[i]);
    DEMAND(world.reactor->connection_count == 0);
    DEMAND(world_close(&world) == 0);
    return 0;
}
