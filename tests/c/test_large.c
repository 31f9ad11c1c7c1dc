/* Large messages keep the block that they came in: through every kind, with others before and
 * behind, to several who want them, back from the dead. */
#define _GNU_SOURCE
#include "large.h"

static struct large large;
static struct stage stage;
static const enum drop_kind kinds[] = {DROP_KIND_LINE, DROP_KIND_FRAME, DROP_KIND_ASYNC};

#define EACH_KIND(kind)                                                                           \
    (size_t kind##_index = 0; kind##_index < sizeof kinds / sizeof kinds[0]; kind##_index++)
#define KIND(kind) kinds[kind##_index]

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

#define CHECK_TAKES(kind, token)                                                                  \
    CHECK(large_take(&large, &stage.world, &stage.worker, kind, token))

#define CHECK_LARGE(id)                                                                           \
    do {                                                                                          \
        struct world_frame heard = world_hear(&stage.world, &stage.client);                       \
        CHECK(large_is_answer(&large, &heard, id));                                               \
    } while (0)

static void test_there_and_back(void)
{
    for EACH_KIND (each) {
        set_up(KIND(each));
        send_call(1);
        CHECK(in_use() < LARGE_HELD_MAX);
        CHECK_TAKES(KIND(each), "0");
        CHECK(in_use() < LARGE_HELD_MAX);
        large_give(&large, &stage.world, &stage.worker, KIND(each), "0", "");
        CHECK(in_use() < LARGE_HELD_MAX);
        CHECK_LARGE(1);
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

static void test_with_more_behind_it(void)
{
    static const char *const behind[] = {"second\n", "\0\0\0", "1::second\n"};
    for EACH_KIND (each) {
        set_up(KIND(each));
        large_send(&large, &stage.world, &stage.client, DROP_CALL, 1, "p", true);
        CHECK_EQUAL(world_hear(&stage.world, &stage.client).type, DROP_PONG);
        stage_call(&stage, 2, "small");
        CHECK_TAKES(KIND(each), "0");
        char text[64];
        if (KIND(each) == DROP_KIND_ASYNC) /* of the others the first stays until it is answered */
            CHECK(world_read(&stage.worker, text, sizeof text) == 9);
        if (KIND(each) == DROP_KIND_FRAME) {
            large_give(&large, &stage.world, &stage.worker, KIND(each), "0", "");
            CHECK_EQUAL(world_write(&stage.worker, "\0\0\0\6second", 10), 10);
        } else if (KIND(each) == DROP_KIND_LINE) {
            large_give(&large, &stage.world, &stage.worker, KIND(each), "0", "");
            stage_say(&stage, behind[0]);
        } else {
            large_give(&large, &stage.world, &stage.worker, KIND(each), "0", behind[2]);
        }
        CHECK_LARGE(1);
        CHECK_ANSWER(&stage, 2, DROP_OK, "second");
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

/* It waits for what is before it, and then it is alone. (Kind async keeps nothing that it has
 * written.) */
static void test_with_others_before_it(void)
{
    for (size_t i = 0; i < 2; i++) {
        char text[64];
        set_up(kinds[i]);
        stage_call(&stage, 1, "small");
        send_call(2);
        CHECK(in_use() < LARGE_HELD_MAX + 4096);
        CHECK_EQUAL(world_read(&stage.worker, text, sizeof text), kinds[i] ? 9 : 6);
        CHECK_EQUAL(stage.pool->mailbox.count, 1);
        if (kinds[i] == DROP_KIND_LINE)
            stage_say(&stage, "first\n");
        else
            CHECK_EQUAL(world_write(&stage.worker, "\0\0\0\5first", 9), 9);
        CHECK_ANSWER(&stage, 1, DROP_OK, "first");
        CHECK(in_use() < LARGE_HELD_MAX);
        CHECK_TAKES(kinds[i], "");
        large_give(&large, &stage.world, &stage.worker, kinds[i], "", "");
        CHECK_LARGE(2);
        stage_close(&stage);
    }
}

static void test_several_at_once(void)
{
    for EACH_KIND (each) {
        static const char *const tokens[] = {"0", "1", "400"};
        set_up(KIND(each));
        for (uint64_t id = 1; id <= 3; id++)
            send_call(id);
        CHECK(in_use() < 3 * LARGE_HELD_MAX);
        for (uint64_t id = 1; id <= 3; id++) {
            const char *token = tokens[id - 1];
            if (!large_take(&large, &stage.world, &stage.worker, KIND(each), token))
                CHECK(!"it takes each");
            large_give(&large, &stage.world, &stage.worker, KIND(each), token, "");
            CHECK_LARGE(id);
        }
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
    }
}

/* ---- subscriptions ---- */

/* What the pool got as its one message is the same. */
static bool has_large(struct drop_pool *pool)
{
    struct drop_message *message = pool->mailbox.first;
    return pool->mailbox.count == 1 && message->length == LARGE_LENGTH
           && memcmp(message->payload, large.payload, LARGE_LENGTH) == 0;
}

/* `calls`: somebody waits for the answer too. `targets`: pools that subscribe. */
static void check_events(enum drop_kind kind, bool calls, unsigned targets)
{
    struct drop_pool *target[2] = {NULL, NULL};
    set_up(kind);
    for (unsigned i = 0; i < targets; i++) {
        target[i] = world_pool(&stage.world, i ? "r" : "q", kind);
        world_subscribe(&stage.world, stage.pool, target[i], false, "");
    }
    large_send(&large, &stage.world, &stage.client, calls ? DROP_CALL : DROP_CAST, calls, "p",
               false);
    CHECK_TAKES(kind, "0");
    large_give(&large, &stage.world, &stage.worker, kind, "0", "");
    if (calls)
        CHECK_LARGE(1);
    for (unsigned i = 0; i < targets; i++)
        CHECK(has_large(target[i]));
    CHECK(in_use() < targets * LARGE_HELD_MAX + 1);
    stage_close(&stage);
}

static void test_for_subscribers(void)
{
    for EACH_KIND (each)
        for (unsigned targets = 0; targets <= 2; targets++)
            for (int calls = 0; calls < 2; calls++)
                check_events(KIND(each), calls, targets);
    CHECK(true);
}

static void test_for_every_worker_of_a_subscriber(void)
{
    for EACH_KIND (each) {
        set_up(KIND(each));
        struct drop_pool *target = world_pool(&stage.world, "q", KIND(each));
        struct world_worker workers[2] = {world_worker(&stage.world, target),
                                          world_worker(&stage.world, target)};
        world_subscribe(&stage.world, stage.pool, target, true, "");
        large_send(&large, &stage.world, &stage.client, DROP_CAST, 0, "p", false);
        CHECK_TAKES(KIND(each), "0");
        large_give(&large, &stage.world, &stage.worker, KIND(each), "0", "");
        for (int i = 0; i < 2; i++) {
            if (!large_take(&large, &stage.world, &workers[i], KIND(each), "0"))
                CHECK(!"each of them takes it");
            world_die(&stage.world, &workers[i]);
        }
        stage_close(&stage);
    }
}

/* Along three pools: it stays the same block, or one copy of it. */
static void test_through_a_flow(void)
{
    for EACH_KIND (first) {
        for EACH_KIND (second) {
            set_up(KIND(first));
            struct drop_pool *next = world_pool(&stage.world, "q", KIND(second));
            struct world_worker worker = world_worker(&stage.world, next);
            world_subscribe(&stage.world, stage.pool, next, false, "");
            struct drop_pool *last = world_pool(&stage.world, "r", DROP_KIND_FRAME);
            world_subscribe(&stage.world, next, last, false, "");
            large_send(&large, &stage.world, &stage.client, DROP_CAST, 0, "p", false);
            CHECK_TAKES(KIND(first), "0");
            large_give(&large, &stage.world, &stage.worker, KIND(first), "0", "");
            CHECK(large_take(&large, &stage.world, &worker, KIND(second), "0"));
            CHECK(in_use() < LARGE_HELD_MAX);
            large_give(&large, &stage.world, &worker, KIND(second), "0", "");
            CHECK(has_large(last));
            CHECK(in_use() < LARGE_HELD_MAX);
            world_die(&stage.world, &worker);
            stage_close(&stage);
        }
    }
}

/* ---- deaths ---- */

/* A small one is with the worker; the large one behind it has not been given, or (`given`) it is
 * alone with the worker, which has not answered. Another worker gets it. */
static void check_death(enum drop_kind kind, bool given, uint16_t retries)
{
    struct drop_pool_options options = stage_options(kind);
    options.retries = retries;
    stage_open(&stage, &options);
    if (!given)
        stage_call(&stage, 1, "small");
    send_call(2);
    world_die(&stage.world, &stage.worker);
    if (!given && !retries)
        CHECK_ANSWER(&stage, 1, DROP_ERROR, NULL);
    bool again = !given || retries || kind == DROP_KIND_ASYNC; /* which had not all of it */
    if (!again) {
        CHECK_ANSWER(&stage, 2, DROP_ERROR, NULL);
        CHECK_EQUAL(in_use(), 0);
        stage_close(&stage);
        return;
    }
    CHECK(in_use() < LARGE_HELD_MAX + 4096);
    stage.pool->options.inflight = 1;
    if (!given && retries) { /* the small one first */
        stage.worker = world_worker(&stage.world, stage.pool);
        char text[64];
        CHECK(world_read(&stage.worker, text, sizeof text) > 0);
        stage.pool->options.retries = 0;
        world_die(&stage.world, &stage.worker);
        CHECK_ANSWER(&stage, 1, DROP_ERROR, NULL);
    }
    stage.worker = world_worker(&stage.world, stage.pool);
    CHECK_TAKES(kind, "0");
    large_give(&large, &stage.world, &stage.worker, kind, "0", "");
    CHECK_LARGE(2);
    stage_close(&stage);
}

static void test_back_from_the_dead(void)
{
    for EACH_KIND (each)
        for (int given = 0; given < 2; given++)
            for (uint16_t retries = 0; retries < 2; retries++)
                check_death(KIND(each), given, retries);
    CHECK(true);
}

/* Not alone in its block: it came by a way on which it was copied, behind small ones. */
static void test_back_from_the_dead_behind_others(void)
{
    for EACH_KIND (each) {
        static const char batch_of_small[] = "\1\0\0\0a\1\0\0\0b";
        struct drop_record *record;
        set_up(KIND(each));
        fcntl(stage.worker.input, F_SETPIPE_SZ, 4096);
        size_t small = sizeof batch_of_small - 1;
        record = drop_record_create(DROP_COMMAND_PUBLISH, 1, stage.pool->id, 3,
                                    small + 4 + LARGE_LENGTH);
        memcpy(record->bytes, batch_of_small, small);
        memcpy(record->bytes + small, &(uint32_t){LARGE_LENGTH}, 4);
        memcpy(record->bytes + small + 4, large.payload, LARGE_LENGTH);
        drop_channel_send(&stage.world.reactor->commands, record);
        drop_reactor_turn(stage.world.reactor);
        CHECK_EQUAL(stage.pool->inflight, 3);
        world_die(&stage.world, &stage.worker);
        struct drop_message *message = stage.pool->mailbox.first;
        while (message && message->length != LARGE_LENGTH)
            message = message->next;
        CHECK(message && memcmp(message->payload, large.payload, LARGE_LENGTH) == 0);
        CHECK(in_use() < LARGE_HELD_MAX + 8192);
        stage_close(&stage);
    }
}

static void test_ncm(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_LINE);
    options.ncm = true;
    options.retries = 1;
    stage_open(&stage, &options);
    large.payload[1000] = '\n';
    send_call(1);
    world_die(&stage.world, &stage.worker);
    CHECK(has_large(stage.pool));
    large.payload[1000] = 'x';
    stage_close(&stage);
}

int main(void)
{
    large_fill(&large);
    RUN(test_there_and_back);
    RUN(test_with_more_behind_it);
    RUN(test_with_others_before_it);
    RUN(test_several_at_once);
    RUN(test_for_subscribers);
    RUN(test_for_every_worker_of_a_subscriber);
    RUN(test_through_a_flow);
    RUN(test_back_from_the_dead);
    RUN(test_back_from_the_dead_behind_others);
    RUN(test_ncm);
    return check_summary();
}
