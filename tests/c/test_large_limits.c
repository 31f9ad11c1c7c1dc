/* Large messages where something ends: the client's patience, the client, the pool, the memory. All
 * of it comes back. */
#define _GNU_SOURCE
#include "large.h"
#include "processes.h"

static struct large large;
static struct stage stage;
static const enum drop_kind kinds[] = {DROP_KIND_LINE, DROP_KIND_FRAME, DROP_KIND_ASYNC};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static size_t in_use(void)
{
    return stage.world.reactor->memory.in_use;
}

static void set_up(enum drop_kind kind)
{
    struct drop_pool_options options = stage_options(kind);
    stage_open(&stage, &options);
}

static void send_call(uint64_t id)
{
    large_send(&large, &stage.world, &stage.client, DROP_CALL, id, "p", false);
}

static void give(size_t i, const char *token)
{
    large_give(&large, &stage.world, &stage.worker, kinds[i], token, "");
}

/* A worker with a large message, whose answer waits for the client to read. */
static void set_up_unread_answer(size_t i)
{
    set_up(kinds[i]);
    send_call(1);
    CHECK(large_take(&large, &stage.world, &stage.worker, kinds[i], "0"));
    give(i, "0");
    CHECK(stage.client.connection->segments.first != NULL);
    CHECK(in_use() < LARGE_HELD_MAX);
}

static void test_a_client_that_does_not_read(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        set_up_unread_answer(i);
        world_pass_ms(&stage.world, 20000);
        CHECK_EQUAL(stage.world.reactor->counters.cut_slow, 1);
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

static void test_a_client_that_hangs_up(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        set_up_unread_answer(i);
        world_hang_up(&stage.world, &stage.client);
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

/* More large answers than the client reads: it is told which of them are lost, and not cut. */
static void test_a_client_that_asks_for_too_much(void)
{
    enum { CALLS = 100 };
    struct drop_reactor_options options = world_options();
    struct drop_pool_options pool_options = stage_options(DROP_KIND_LINE);
    unsigned statuses[DROP_STATUS_COUNT] = {0};
    options.memory_max = 256u << 20;
    pool_options.inflight = pool_options.queue = CALLS;
    world_open(&stage.world, &options);
    stage.pool = world_pool_with(&stage.world, &pool_options);
    stage.worker = world_worker(&stage.world, stage.pool);
    stage.client = world_join(&stage.world);
    for (uint64_t id = 1; id <= CALLS; id++)
        world_ask(&stage.client, DROP_CALL, id, "p", "x");
    world_turn(&stage.world);
    char text[4 * CALLS];
    world_read(&stage.worker, text, sizeof text);
    for (int i = 0; i < CALLS; i++)
        give(0, "");
    CHECK(in_use() < 100u << 20);
    for (uint64_t id = 1; id <= CALLS; id++) {
        struct world_frame frame = world_hear(&stage.world, &stage.client);
        CHECK(frame.type == DROP_ANSWER && frame.id == id);
        statuses[frame.code]++;
    }
    CHECK(statuses[DROP_OK] > 40 && statuses[DROP_OVERLOADED] > 10);
    CHECK_EQUAL(statuses[DROP_OK] + statuses[DROP_OVERLOADED], CALLS);
    CHECK_EQUAL(stage.pool->counters.failed[DROP_OVERLOADED], statuses[DROP_OVERLOADED]);
    CHECK_EQUAL(stage.world.reactor->counters.cut_slow, 0);
    stage_close(&stage);
}

/* Small frames before and behind leave in their order. */
static void test_answers_before_and_behind(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        char ping[64];
        size_t length = world_put(ping, DROP_PING, 7, "", "", 0);
        set_up_unread_answer(i);
        large_send_bytes(&stage.world, &stage.client, ping, length);
        struct world_frame frame = world_hear(&stage.world, &stage.client);
        CHECK(large_is_answer(&large, &frame, 1));
        CHECK_EQUAL(world_hear(&stage.world, &stage.client).type, DROP_PONG);
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

static void test_the_client_goes_while_it_sends(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        set_up(kinds[i]);
        size_t length =
            world_put(large.bytes, DROP_CALL, 1, "p", large.payload, sizeof large.payload);
        large_send_bytes(&stage.world, &stage.client, large.bytes, length - 1);
        CHECK(in_use() > 0);
        world_hang_up(&stage.world, &stage.client);
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

static void cancel(uint64_t id)
{
    world_ask(&stage.client, DROP_CANCEL, id, "p", "");
    CHECK_ANSWER(&stage, id, DROP_CANCELLED, NULL);
}

/* One is with the worker, which takes all of it still; one waits. */
static void test_cancelled(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct drop_pool_options options = stage_options(kinds[i]);
        options.inflight = 1;
        stage_open(&stage, &options);
        send_call(1);
        send_call(2);
        cancel(2);
        CHECK(in_use() < LARGE_HELD_MAX);
        cancel(1);
        CHECK(large_take(&large, &stage.world, &stage.worker, kinds[i], "0"));
        give(i, "0");
        CHECK_EQUAL(in_use(), 0);
        CHECK_SILENCE(&stage);
        stage_close(&stage);
    }
}

/* One waits, one is being written, of one the answer has begun. */
static void test_the_pool_is_removed(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct drop_pool_options options = stage_options(kinds[i]);
        options.inflight = 1;
        stage_open(&stage, &options);
        struct world_worker second = world_worker(&stage.world, stage.pool);
        send_call(1);
        send_call(2);
        send_call(3);
        char begun[65536];
        memset(begun, 'x', sizeof begun);
        large_before(kinds[i], "0", LARGE_LENGTH, begun);
        CHECK_EQUAL(world_write(&stage.worker, begun, sizeof begun), sizeof begun);
        world_turn(&stage.world);
        stage_command(&stage, DROP_COMMAND_POOL_REMOVE, stage.pool->id, 0);
        for (int j = 0; j < 3; j++)
            CHECK_EQUAL(world_hear(&stage.world, &stage.client).code, DROP_DRAINING);
        CHECK_EQUAL(in_use(), 0);
        world_die(&stage.world, &second);
        stage_close(&stage);
    }
}

/* It stays with the client's connection, and goes on when there is room. */
static void test_no_room(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct drop_pool_options options = stage_options(kinds[i]);
        options.overflow = DROP_OVERFLOW_BLOCK;
        options.inflight = options.queue = 1;
        stage_open(&stage, &options);
        for (uint64_t id = 1; id <= 3; id++)
            send_call(id);
        CHECK(in_use() < 3 * LARGE_HELD_MAX);
        for (uint64_t id = 1; id <= 3; id++) {
            char token[16];
            snprintf(token, sizeof token, "%llx", (unsigned long long)(id - 1) << 10);
            CHECK(large_take(&large, &stage.world, &stage.worker, kinds[i], token));
            give(i, token);
            struct world_frame frame = world_hear(&stage.world, &stage.client);
            CHECK(large_is_answer(&large, &frame, id));
        }
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

static void test_the_oldest_gives_way(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct drop_pool_options options = stage_options(kinds[i]);
        options.overflow = DROP_OVERFLOW_OLDEST;
        options.inflight = options.queue = 1;
        stage_open(&stage, &options);
        for (uint64_t id = 1; id <= 3; id++)
            send_call(id);
        CHECK_ANSWER(&stage, 2, DROP_OVERLOADED, NULL);
        CHECK(in_use() < 2 * LARGE_HELD_MAX);
        stage_close(&stage);
    }
}

/* ---- memory ---- */

/* How a call ends when `spare` bytes are left from some moment on: before it is sent, or before it
 * is answered. It ends once, and everything is given back. */
static void check_shortage(size_t i, size_t spare, bool in_answer)
{
    struct drop_pool_options options = stage_options(kinds[i]);
    options.retries = 1;
    stage_open(&stage, &options);
    struct drop_memory *memory = &stage.world.reactor->memory;
    if (!in_answer)
        memory->limit = in_use() + spare;
    send_call(1);
    if (large_take(&large, &stage.world, &stage.worker, kinds[i], "0")) {
        if (in_answer)
            memory->limit = in_use() + spare;
        give(i, "0");
    }
    unsigned answers = 0;
    for (struct world_frame frame; (frame = world_hear(&stage.world, &stage.client)).type;) {
        if (frame.type != DROP_ANSWER)
            continue;
        answers++;
        CHECK_EQUAL(frame.id, 1);
        if (frame.code == DROP_OK)
            CHECK(large_is_answer(&large, &frame, 1));
        else
            CHECK_EQUAL(frame.code, DROP_OVERLOADED);
    }
    memory->limit = WORLD_MEMORY;
    /* None: the client was cut, or hears that the node has no memory, or its call still waits. */
    CHECK(answers <= 1);
    stage_close(&stage);
}

static void test_memory_runs_out(void)
{
    for (size_t i = 0; i < KINDS; i++)
        for (size_t spare = 0; spare < 3u << 20; spare += 151 * 1024)
            for (int in_answer = 0; in_answer < 2; in_answer++)
                check_shortage(i, spare, in_answer);
    CHECK(true);
}

/* A worker that announces more than it writes costs what it has written. */
static void test_announcing_costs_nothing(void)
{
    char begun[1000];
    memset(begun, 'x', sizeof begun);
    set_up(DROP_KIND_FRAME);
    stage_call(&stage, 1, "x");
    drop_length_put(begun, WORLD_PAYLOAD_MAX);
    for (size_t written = 0; written < 50000; written += sizeof begun) {
        CHECK_EQUAL(world_write(&stage.worker, begun, sizeof begun), sizeof begun);
        world_turn(&stage.world);
        memset(begun, 'x', DROP_LENGTH_PREFIX);
        CHECK(in_use() <= WORLD_PAYLOAD_MAX / 2);
    }
    stage_close(&stage);
}

/* ---- kind exec ---- */

static void test_there_and_back_through_a_process(void)
{
    static struct processes processes;
    struct world *world = &processes.stage.world;
    processes_open(&processes, "cat", 1);
    for (uint64_t id = 1; id <= 3; id++) {
        large_send(&large, world, &processes.stage.client, DROP_CALL, id, "p", false);
        struct world_frame frame = processes_hear(&processes);
        CHECK(large_is_answer(&large, &frame, id));
        CHECK(world->reactor->memory.in_use < LARGE_HELD_MAX);
    }
    processes_close(&processes);
}

int main(void)
{
    large_fill(&large);
    RUN(test_a_client_that_does_not_read);
    RUN(test_a_client_that_hangs_up);
    RUN(test_a_client_that_asks_for_too_much);
    RUN(test_answers_before_and_behind);
    RUN(test_the_client_goes_while_it_sends);
    RUN(test_cancelled);
    RUN(test_the_pool_is_removed);
    RUN(test_no_room);
    RUN(test_the_oldest_gives_way);
    RUN(test_memory_runs_out);
    RUN(test_announcing_costs_nothing);
    RUN(test_there_and_back_through_a_process);
    return check_summary();
}
