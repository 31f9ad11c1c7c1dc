/* Any history of a whole reactor: each pair of bytes is something that a client, a worker or the
 * control plane does. No id is answered twice, nobody waits for an answer when the pools are gone,
 * and nothing is open in the end. The table `acts` says what the first byte of a pair means. */
#define _GNU_SOURCE
#include "hands.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())

enum { POOLS = 5, WORKERS = 4, CLIENTS = 3, IDS = 1024 };

enum { PID = 1 << 30 }; /* of nobody: it is only known that there is one */

enum expects { NOTHING, AN_ANSWER, A_SUBSCRIPTION, SUBSCRIBED, ANSWERED };

struct player {
    struct world_client client; /* fd -1: not connected */
    enum expects expects[IDS];
    uint64_t ids;
    bool reading_ends; /* GOAWAY came, or the end */
    bool silent;       /* a frame did not fit the socket, or its sending side is shut */
};

struct game {
    struct world world;
    uint64_t pools[POOLS]; /* ids; 0: none */
    struct hand hands[WORKERS];
    struct player players[CLIENTS];
    uint64_t token;
    uint64_t subscription;
    uint64_t frames; /* that clients got */
};

static struct drop_pool *pool_at(struct game *game, unsigned arg)
{
    return drop_pool_by_id(game->world.reactor, game->pools[arg % POOLS]);
}

static const char *name_of(unsigned arg)
{
    static const char *const names[POOLS] = {"a", "b", "c", "d", "$control"};
    return names[arg % POOLS];
}

/* The first ones are of these kinds, and later ones of any of the first three. */
static enum drop_kind kind_of(unsigned slot, unsigned arg)
{
    static const enum drop_kind kinds[POOLS] = {DROP_KIND_LINE, DROP_KIND_FRAME, DROP_KIND_ASYNC,
                                                DROP_KIND_STREAM, DROP_KIND_CONTROL};
    return slot < 3 && arg >= 64 ? kinds[arg / 64 - 1] : kinds[slot];
}

static void make_pool(struct game *game, unsigned arg)
{
    unsigned slot = arg % POOLS;
    struct drop_pool_options options = world_pool_options(name_of(slot), kind_of(slot, arg));
    if (pool_at(game, slot))
        return;
    options.overflow = (enum drop_overflow)(arg >> 2 & 3);
    options.inflight = arg & 16 ? 4 : 1;
    options.queue = arg & 32 ? 1 : 3;
    options.ncm = arg % 7 == 3;
    options.retries = arg & 1;
    options.timeout_ns = arg & 2 ? 500 * DROP_NS_PER_MS : 0;
    game->pools[slot] = world_pool_with(&game->world, &options)->id;
}

static void command(struct game *game, enum drop_command kind, uint64_t a, uint64_t b, uint64_t c)
{
    world_command(&game->world, kind, a, b, c, NULL, 0);
}

static void remove_pool(struct game *game, unsigned arg)
{
    command(game, DROP_COMMAND_POOL_REMOVE, game->pools[arg % POOLS], 0, 0);
    drop_reactor_turn(game->world.reactor); /* so that the name is free */
    game->pools[arg % POOLS] = 0;
}

static void drain_pool(struct game *game, unsigned arg)
{
    command(game, DROP_COMMAND_POOL_DRAIN, game->pools[arg % POOLS], 0, 0);
}

static void refuse_pool(struct game *game, unsigned arg)
{
    world_command(&game->world, DROP_COMMAND_POOL_REFUSE, game->pools[arg % POOLS], 0, 0, "no",
                  arg & 64 ? 3 : 0);
}

static void subscribe_pool(struct game *game, unsigned arg)
{
    world_command(&game->world, DROP_COMMAND_SUBSCRIBE, ++game->subscription,
                  game->pools[arg % POOLS], game->pools[arg / 5 % POOLS] << 1 | (arg >> 6 & 1),
                  "y", arg >> 7);
}

static void unsubscribe_pool(struct game *game, unsigned arg)
{
    command(game, DROP_COMMAND_UNSUBSCRIBE, game->subscription - arg % 4, 0, 0);
}

static void publish_batch(struct game *game, unsigned arg)
{
    static const char batch[8 * 4];
    world_command(&game->world, DROP_COMMAND_PUBLISH, arg, game->pools[arg % POOLS], arg / 32,
                  batch, arg / 32 * 4);
}

static void answer_control(struct game *game, unsigned arg)
{
    const struct drop_record *message = world_happening(&game->world, DROP_MESSAGE);
    if (message)
        game->token = message->b;
    world_command(&game->world, DROP_COMMAND_ANSWER, game->token, arg % DROP_STATUS_COUNT, 0, "yes",
                  3);
}

static void drain_node(struct game *game, unsigned arg)
{
    if (arg == 7) /* seldom: little happens behind it */
        command(game, DROP_COMMAND_DRAIN, 0, 0, 0);
}

static void squeeze_memory(struct game *game, unsigned arg)
{
    struct drop_memory *memory = &game->world.reactor->memory;
    memory->limit = arg & 128 ? WORLD_MEMORY : memory->in_use + (arg & 15) * 512u;
}

static void pass(struct game *game, unsigned arg)
{
    world_pass_ms(&game->world, (arg & 15) * 100u);
}

static void turn(struct game *game, unsigned arg)
{
    for (unsigned i = 0; i <= arg % 4; i++)
        drop_reactor_turn(game->world.reactor);
}

/* ---- workers ---- */

/* Every second one is ready when it says so. */
static void add_worker(struct game *game, unsigned arg)
{
    static const char ready[] = "ready";
    struct hand *hand = &game->hands[arg % WORKERS];
    const struct drop_pool *pool = pool_at(game, arg / 4);
    hand_let_go(hand);
    if (!pool)
        return;
    *hand = (struct hand){.kind = pool->options.kind};
    hand->worker = world_worker_with(&game->world, pool, arg & 128 ? ready : "",
                                     arg & 32 ? PID : 0);
}

static void end_worker(struct game *game, unsigned arg)
{
    hand_let_go(&game->hands[arg % WORKERS]);
    if (arg & 64)
        world_command(&game->world, DROP_COMMAND_WORKER_EXITED,
                      game->hands[arg % WORKERS].worker.id, 0, 0, "gone", arg & 128 ? 5 : 0);
}

static void remove_worker(struct game *game, unsigned arg)
{
    command(game, DROP_COMMAND_WORKER_REMOVE, game->hands[arg % WORKERS].worker.id, arg >> 6 & 1,
            0);
}

static void probe(struct game *game, unsigned arg)
{
    bool any = arg & 64;
    world_command(&game->world, DROP_COMMAND_WORKER_PROBE, game->hands[arg % WORKERS].worker.id, 1,
                  any, "?yyy", any ? 1 : 1 + (arg >> 4 & 3));
}

/* Without a word to anybody, as a process that was killed. */
static void exit_only(struct game *game, unsigned arg)
{
    command(game, DROP_COMMAND_WORKER_EXITED, game->hands[arg % WORKERS].worker.id, 0, 0);
}

static void work(struct game *game, unsigned arg)
{
    hand_work(&game->hands[arg % WORKERS], arg);
}

static void babble(struct game *game, unsigned arg)
{
    hand_babble(&game->hands[arg % WORKERS], arg);
}

/* ---- clients ---- */

static void check_frame(struct player *player, const struct world_frame *frame)
{
    player->reading_ends |= frame->type == DROP_GOAWAY;
    if (frame->type != DROP_ANSWER)
        return;
    DEMAND(frame->id < player->ids && frame->code < DROP_STATUS_COUNT);
    enum expects *expects = &player->expects[frame->id];
    bool pool_is_gone = *expects == SUBSCRIBED && frame->code == DROP_DRAINING;
    DEMAND(*expects == AN_ANSWER || *expects == A_SUBSCRIPTION || pool_is_gone);
    *expects = *expects == A_SUBSCRIPTION && frame->code == DROP_OK ? SUBSCRIBED : ANSWERED;
}

static void read_frames(struct game *game, unsigned arg)
{
    struct player *player = &game->players[arg % CLIENTS];
    struct world_frame frame;
    if (player->client.fd < 0)
        return;
    player->reading_ends |= !world_receive(&player->client);
    while (world_frame(&player->client, &frame)) {
        check_frame(player, &frame);
        game->frames++;
    }
}

static void hang_up(struct game *game, unsigned arg)
{
    struct player *player = &game->players[arg % CLIENTS];
    if (player->client.fd < 0)
        return;
    close(player->client.fd);
    free(player->client.bytes);
    memset(player, 0, sizeof *player);
    player->client.fd = -1;
}

static void half_close(struct game *game, unsigned arg)
{
    struct player *player = &game->players[arg % CLIENTS];
    player->silent = true;
    shutdown(player->client.fd, SHUT_WR);
}

static void send_frame(struct player *player, const char *frame, size_t length)
{
    if (!player->silent)
        player->silent = world_send(&player->client, frame, length) != length;
}

static void join(struct game *game, unsigned arg)
{
    struct player *player = &game->players[arg % CLIENTS];
    char hello[64];
    hang_up(game, arg);
    player->client = world_connect(&game->world, true);
    send_frame(player, hello, world_put_hello(hello));
}

static void ask(struct player *player, enum drop_frame_type type, uint64_t id, const char *name,
                size_t length, unsigned arg)
{
    static const char payload[LARGE];
    static char frame[LARGE + 256];
    size_t total = world_put(frame, type, id, name, payload, length);
    if (arg & 128 && drop_frame_has_payload((uint8_t)type))
        drop_put_u32(frame + DROP_FRAME_HEADER, 300); /* its timeout */
    if (arg & 128 && type == DROP_SUBSCRIBE)
        frame[5] = DROP_FLAG_WAIT;
    if (arg & 64 && type == DROP_CALL)
        frame[5] = DROP_FLAG_PARTS;
    send_frame(player, frame, total);
}

static void request(struct game *game, unsigned arg, enum drop_frame_type type, size_t length)
{
    struct player *player = &game->players[arg % CLIENTS];
    const char *name = type == DROP_UNSUBSCRIBE || type == DROP_PING ? "" : name_of(arg / 4);
    if (player->client.fd < 0 || player->ids == IDS)
        return;
    uint64_t id = player->ids++;
    player->expects[id] = type == DROP_SUBSCRIBE ? A_SUBSCRIPTION : AN_ANSWER;
    if (type == DROP_CAST || type == DROP_PING)
        player->expects[id] = NOTHING;
    ask(player, type, id, name, length, arg);
}

static void call(struct game *game, unsigned arg)
{
    request(game, arg, DROP_CALL, arg >> 4 & 7);
}

static void call_large(struct game *game, unsigned arg)
{
    request(game, arg, DROP_CALL, LARGE - (arg & 64));
}

static void cast(struct game *game, unsigned arg)
{
    request(game, arg, arg & 64 ? DROP_CAST : DROP_PUBLISH, 3);
}

static void subscribe(struct game *game, unsigned arg)
{
    request(game, arg, DROP_SUBSCRIBE, 0);
}

static void look_around(struct game *game, unsigned arg)
{
    request(game, arg, arg & 64 ? DROP_STATISTICS : DROP_PING, 0);
}

/* Of an id that may be outstanding, done, or another kind of request; the answers stay the same. */
static void cancel(struct game *game, unsigned arg)
{
    struct player *player = &game->players[arg % CLIENTS];
    if (player->client.fd >= 0)
        ask(player, DROP_CANCEL, player->ids - arg / 16, name_of(arg / 4), 0, 0);
}

static void (*const acts[])(struct game *, unsigned) = {
    turn,       turn,          work,          work,           call,           call,
    cast,       call_large,    subscribe,     look_around,    cancel,         read_frames,
    join,       hang_up,       half_close,    add_worker,     end_worker,     remove_worker,
    babble,     make_pool,     remove_pool,   drain_pool,     refuse_pool,    subscribe_pool,
    pass,       publish_batch, squeeze_memory, answer_control, unsubscribe_pool, drain_node,
    work,       read_frames,   probe,         exit_only,      work,           add_worker,
};

static void begin(struct game *game)
{
    struct drop_reactor_options options = world_options();
    memset(game, 0, sizeof *game);
    options.calls_max = 4;
    options.payload_max = LARGE - 2; /* some of the large ones are too large */
    world_open(&game->world, &options);
    for (unsigned i = 0; i < CLIENTS; i++)
        game->players[i].client.fd = -1;
    for (unsigned i = 0; i < WORKERS; i++)
        game->hands[i].worker.input = -1;
    for (unsigned i = 0; i < POOLS; i++)
        make_pool(game, i);
}

/* With the pools gone every request that was sent whole has its answer. */
static void end(struct game *game)
{
    struct drop_reactor *reactor = game->world.reactor;
    reactor->memory.limit = WORLD_MEMORY;
    for (unsigned i = 0; i < POOLS; i++)
        remove_pool(game, i);
    for (uint64_t before = game->frames + 1; before != game->frames;) {
        before = game->frames;
        for (int i = 0; i < 5; i++) /* a large frame that is refused is read in many turns */
            world_turn(&game->world);
        for (unsigned i = 0; i < CLIENTS; i++)
            read_frames(game, i);
    }
    DEMAND(reactor->pending == 0 && reactor->worker_count == 0 && reactor->batches == NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct player *player = &game->players[i];
        bool complete = player->client.fd >= 0 && !player->reading_ends && !player->silent;
        for (uint64_t id = 0; complete && id < player->ids; id++)
            DEMAND(player->expects[id] != AN_ANSWER && player->expects[id] != A_SUBSCRIPTION);
        hang_up(game, i);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        hand_let_go(&game->hands[i]);
    /* Who was told to leave is read to its end. */
    for (unsigned i = 0; reactor->connection_count && i < 100; i++)
        world_turn(&game->world);
    world_turn(&game->world);
    DEMAND(reactor->connection_count == 0 && reactor->memory.in_use == 0);
    DEMAND(world_close(&game->world) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct game game;
    begin(&game);
    for (size_t i = 0; i + 1 < size && i < 1000; i += 2)
        acts[data[i] % (sizeof acts / sizeof acts[0])](&game, data[i + 1]);
    end(&game);
    return 0;
}
