/* The way back from a worker: answers cut anywhere, answers that nobody asked for, early and late
 * ones, and a worker's timeouts. */
#define _GNU_SOURCE
#include "world.h"

#include "check.h"

static struct world world;
static struct drop_pool *pool;
static struct world_worker worker;
static struct world_client client;

static void set_up_with(struct drop_pool_options *options)
{
    struct drop_reactor_options reactor_options = world_options();
    world_open(&world, &reactor_options);
    pool = world_pool_with(&world, options);
    worker = world_worker(&world, pool);
    client = world_join(&world);
}

static void set_up(enum drop_kind kind)
{
    struct drop_pool_options options = world_pool_options("p", kind);
    options.inflight = 8;
    set_up_with(&options);
}

static void tear_down(void)
{
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    CHECK_EQUAL(world_close(&world), 0);
}

static void check_answer(uint64_t id, enum drop_status status, const char *payload)
{
    struct world_frame frame = world_hear(&world, &client);
    CHECK_EQUAL(frame.type, DROP_ANSWER);
    CHECK_EQUAL(frame.id, id);
    CHECK_EQUAL(frame.code, status);
    if (payload && frame.type == DROP_ANSWER)
        CHECK(frame.length == strlen(payload) && memcmp(frame.body, payload, frame.length) == 0);
}

static void check_gone(const char *reason)
{
    const struct drop_record *gone = world_happening(&world, DROP_WORKER_GONE);
    REQUIRE(gone);
    CHECK_EQUAL(gone->b, worker.id);
    CHECK(gone->length == strlen(reason) && memcmp(gone->bytes, reason, gone->length) == 0);
}

static void test_line_byte_by_byte(void)
{
    static const char said[] = "\none\r\ntwo\nthr";
    set_up(DROP_KIND_LINE);
    for (uint64_t id = 1; id <= 4; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    for (size_t i = 0; i < sizeof said - 1; i++)
        world_say(&world, &worker, (char[]){said[i], '\0'});
    check_answer(1, DROP_OK, "");
    check_answer(2, DROP_OK, "one\r");
    check_answer(3, DROP_OK, "two");
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    world_say(&world, &worker, "ee\n");
    check_answer(4, DROP_OK, "three");
    tear_down();
}

static void test_frame_byte_by_byte(void)
{
    static const char said[] = "\0\0\0\0\0\0\0\3a\nb\0\0\0";
    set_up(DROP_KIND_FRAME);
    for (uint64_t id = 1; id <= 3; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    for (size_t i = 0; i < sizeof said - 1; i++) {
        CHECK_EQUAL(world_write(&worker, &said[i], 1), 1);
        world_turn(&world);
    }
    check_answer(1, DROP_OK, "");
    check_answer(2, DROP_OK, "a\nb");
    world_say(&world, &worker, "\1!");
    check_answer(3, DROP_OK, "!");
    tear_down();
}

static void test_ncm_both_ways(void)
{
    struct drop_pool_options options = world_pool_options("p", DROP_KIND_LINE);
    char text[64];
    options.ncm = true;
    set_up_with(&options);
    world_ask(&client, DROP_CALL, 1, "p", "a\nb\n");
    world_turn(&world);
    world_read(&worker, text, sizeof text);
    CHECK(strcmp(text, "a\tncm\tb\tncm\t\n") == 0);
    world_say(&world, &worker, "\tncm\tx\tncm\n");
    check_answer(1, DROP_OK, "\nx\tncm");
    tear_down();
}

static void test_ncm_is_undone_for_the_next_worker(void)
{
    struct drop_pool_options options = world_pool_options("p", DROP_KIND_LINE);
    options.ncm = true;
    options.retries = 1;
    char text[64];
    set_up_with(&options);
    world_ask(&client, DROP_CALL, 1, "p", "a\nb");
    world_turn(&world);
    world_die(&world, &worker);
    worker = world_worker(&world, pool);
    world_read(&worker, text, sizeof text);
    CHECK(strcmp(text, "a\tncm\tb\n") == 0);
    world_die(&world, &worker);
    check_answer(1, DROP_ERROR, NULL);
    CHECK_EQUAL(pool->counters.retried, 1);
    tear_down();
}

static void test_unasked(void)
{
    set_up(DROP_KIND_LINE);
    world_say(&world, &worker, "nobody asked\n");
    check_gone("unasked");
    CHECK_EQUAL(pool->worker_count, 0);
    tear_down();
}

static void test_one_answer_too_many(void)
{
    set_up(DROP_KIND_LINE);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_turn(&world);
    world_say(&world, &worker, "a\nb\n");
    check_answer(1, DROP_OK, "a");
    check_gone("unasked");
    tear_down();
}

static void test_too_large(void)
{
    set_up(DROP_KIND_FRAME);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_ask(&client, DROP_CALL, 2, "p", "x");
    world_turn(&world);
    char prefix[4];
    drop_length_put(prefix, WORLD_PAYLOAD_MAX + 1);
    CHECK_EQUAL(world_write(&worker, prefix, sizeof prefix), sizeof prefix);
    check_answer(1, DROP_TOO_LARGE, NULL);
    CHECK_EQUAL(pool->mailbox.count, 1);
    check_gone("too_large");
    tear_down();
}

static void test_largest_answer(void)
{
    set_up(DROP_KIND_FRAME);
    size_t length = DROP_LENGTH_PREFIX + WORLD_PAYLOAD_MAX, at = 0;
    char *answer = malloc(length);
    REQUIRE(answer);
    memset(answer, 'x', length);
    drop_length_put(answer, WORLD_PAYLOAD_MAX);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_turn(&world);
    while (at < length) {
        at += world_write(&worker, answer + at, length - at);
        drop_reactor_turn(world.reactor);
        world_receive(&client);
    }
    struct world_frame frame = {0};
    for (int i = 0; i < 100 && !world_frame(&client, &frame); i++) {
        world_turn(&world);
        world_receive(&client);
    }
    CHECK_EQUAL(frame.length, WORLD_PAYLOAD_MAX);
    free(answer);
    tear_down();
}

/* The pipe is full of the first half of the message when the answer comes. */
static void test_early_answer_waits_for_its_message(void)
{
    set_up(DROP_KIND_LINE);
    char part[4096];
    size_t length = 600u << 10, sent = 0;
    char *frame = malloc(length + 64);
    char *payload = calloc(1, length);
    REQUIRE(frame && payload);
    size_t total = world_put(frame, DROP_CALL, 1, "p", payload, length);
    while (sent < total) {
        sent += world_send(&client, frame + sent, total - sent);
        world_turn(&world);
    }
    world_say(&world, &worker, "early\n");
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    for (ssize_t got = 0; got < (ssize_t)length + 1;) {
        ssize_t count = read(worker.input, part, sizeof part);
        if (count > 0)
            got += count;
        drop_reactor_turn(world.reactor);
    }
    check_answer(1, DROP_OK, "early");
    free(frame);
    free(payload);
    tear_down();
}

static void call_with_timeout(enum drop_frame_type type, uint64_t id, uint32_t timeout_ms)
{
    char frame[64];
    size_t length = world_put(frame, type, id, "p", "x", 1);
    drop_put_u32(frame + DROP_FRAME_HEADER, timeout_ms);
    CHECK_EQUAL(world_send(&client, frame, length), length);
    world_turn(&world);
}

static void test_caller_gives_up(void)
{
    set_up(DROP_KIND_LINE);
    call_with_timeout(DROP_CALL, 1, 1000);
    world_pass_ms(&world, 2000);
    check_answer(1, DROP_TIMEOUT, NULL);
    world_say(&world, &worker, "late\n");
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    CHECK_EQUAL(pool->counters.late, 1);
    CHECK_EQUAL(world.reactor->pending, 0);
    tear_down();
}

/* Nobody waits for a CAST: its deadline has passed once, and no timer runs for it again. */
static void test_cast_past_its_deadline(void)
{
    set_up(DROP_KIND_LINE);
    call_with_timeout(DROP_CAST, 1, 1000);
    CHECK(drop_timers_next(&world.reactor->timers) != DROP_NEVER);
    world_pass_ms(&world, 20000);
    CHECK(drop_timers_next(&world.reactor->timers) == DROP_NEVER);
    world_say(&world, &worker, "done\n");
    CHECK_EQUAL(pool->counters.answers, 1);
    tear_down();
}

static void test_function_timeout(void)
{
    struct drop_pool_options options = world_pool_options("p", DROP_KIND_LINE);
    options.timeout_ns = 1000 * DROP_NS_PER_MS;
    set_up_with(&options);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_turn(&world);
    world_pass_ms(&world, 500);
    CHECK_EQUAL(pool->worker_count, 1);
    world_pass_ms(&world, 1500);
    check_answer(1, DROP_TIMEOUT, NULL);
    check_gone("timeout");
    tear_down();
}

static void test_cancel(void)
{
    set_up(DROP_KIND_LINE);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_ask(&client, DROP_CANCEL, 1, "p", "");
    check_answer(1, DROP_CANCELLED, NULL);
    world_say(&world, &worker, "late\n");
    world_ask(&client, DROP_CANCEL, 1, "p", "");
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    CHECK_EQUAL(pool->counters.late, 1);
    tear_down();
}

/* What is left in its stdout counts, although the process is known to be dead. */
static void test_last_words(void)
{
    set_up(DROP_KIND_LINE);
    for (uint64_t id = 1; id <= 3; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    CHECK_EQUAL(world_write(&worker, "a\nb\nc", 5), 5);
    world_die(&world, &worker);
    check_answer(1, DROP_OK, "a");
    check_answer(2, DROP_OK, "b");
    check_answer(3, DROP_ERROR, NULL);
    const struct drop_record *gone = world_happening(&world, DROP_WORKER_GONE);
    REQUIRE(gone);
    CHECK_EQUAL(gone->c, 2 << 16 | 1); /* answered and not */
    tear_down();
}

static void test_worker_drains(void)
{
    set_up(DROP_KIND_LINE);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_turn(&world);
    world_command(&world, DROP_COMMAND_WORKER_REMOVE, worker.id, 1, 0, NULL, 0);
    world_turn(&world);
    world_ask(&client, DROP_CALL, 2, "p", "x");
    world_turn(&world);
    CHECK(world_happening(&world, DROP_WORKER_DRAINED) == NULL);
    world_say(&world, &worker, "y\n");
    check_answer(1, DROP_OK, "y");
    CHECK(world_happening(&world, DROP_WORKER_DRAINED) != NULL);
    CHECK_EQUAL(pool->mailbox.count, 1);
    tear_down();
}

int main(void)
{
    RUN(test_line_byte_by_byte);
    RUN(test_frame_byte_by_byte);
    RUN(test_ncm_both_ways);
    RUN(test_ncm_is_undone_for_the_next_worker);
    RUN(test_unasked);
    RUN(test_one_answer_too_many);
    RUN(test_too_large);
    RUN(test_largest_answer);
    RUN(test_early_answer_waits_for_its_message);
    RUN(test_caller_gives_up);
    RUN(test_cast_past_its_deadline);
    RUN(test_function_timeout);
    RUN(test_cancel);
    RUN(test_last_words);
    RUN(test_worker_drains);
    return check_summary();
}
