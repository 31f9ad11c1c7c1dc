/* Kind async: what becomes of a hundred outstanding messages when their worker dies or drains. */
#define _GNU_SOURCE
#include <sys/resource.h>

#include "stage.h"

static struct stage stage;

/* A worker that can be sent one page ahead, and has been sent more than that. */
static void call_many(const struct drop_pool_options *options, uint64_t count)
{
    stage_open(&stage, options);
    CHECK_EQUAL(fcntl(stage.worker.input, F_SETPIPE_SZ, 4096), 4096);
    for (uint64_t id = 1; id <= count; id++) {
        char payload[101];
        memset(payload, 'x', 100);
        payload[100] = '\0';
        stage_call(&stage, id, payload);
    }
}

/* Statuses of the answers to the ids 1 to `count`, which come in any order. */
static void hear_all(uint64_t count, unsigned statuses[DROP_STATUS_COUNT])
{
    bool heard[256] = {false};
    memset(statuses, 0, DROP_STATUS_COUNT * sizeof *statuses);
    for (uint64_t i = 0; i < count; i++) {
        struct world_frame frame = world_hear(&stage.world, &stage.client);
        REQUIRE(frame.type == DROP_ANSWER && frame.id <= count && !heard[frame.id]);
        heard[frame.id] = true;
        statuses[frame.code]++;
    }
    CHECK_SILENCE(&stage);
}

/* The next worker answers all that it is sent; how many that is. */
static unsigned answer_all(void)
{
    static char text[1 << 16];
    unsigned count = 0;
    size_t length;
    while ((length = world_read(&stage.worker, text, sizeof text))) {
        for (size_t i = 0; i < length; i++)
            count += text[i] == '\n';
        REQUIRE(world_write(&stage.worker, text, length) == length);
        world_turn(&stage.world);
    }
    return count;
}

static void test_death_fails_what_was_sent_and_no_more(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    unsigned statuses[DROP_STATUS_COUNT];
    options.inflight = 100;
    call_many(&options, 100);
    world_die(&stage.world, &stage.worker);
    CHECK_EQUAL(stage.pool->inflight, 0);
    stage.worker = world_worker(&stage.world, stage.pool);
    unsigned sent_again = answer_all();
    hear_all(100, statuses);
    CHECK_EQUAL(statuses[DROP_ERROR], 39); /* of 104 or 105 bytes, in 4096 */
    CHECK_EQUAL(statuses[DROP_OK], 61);
    CHECK_EQUAL(sent_again, 61);
    stage_close(&stage);
}

static void test_retries_send_all_of_it_again(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    options.inflight = 100;
    options.retries = 1;
    call_many(&options, 100);
    world_ask(&stage.client, DROP_CANCEL, 1, "p", "");
    CHECK_ANSWER(&stage, 1, DROP_CANCELLED, NULL);
    world_die(&stage.world, &stage.worker);
    stage.worker = world_worker(&stage.world, stage.pool);
    CHECK_EQUAL(answer_all(), 99);
    CHECK_EQUAL(stage.pool->counters.retried, 38); /* the cancelled one is not wanted */
    for (unsigned i = 0; i < 99; i++)
        CHECK_EQUAL(world_hear(&stage.world, &stage.client).code, DROP_OK);
    CHECK_SILENCE(&stage);
    stage_close(&stage);
}

/* A copy of what was sent is there already: there is memory for another attempt. */
static void test_a_retry_needs_no_memory(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    options.retries = 1;
    stage_open(&stage, &options);
    stage_call(&stage, 1, "a");
    struct drop_memory *memory = &stage.world.reactor->memory;
    memory->limit = memory->in_use;
    world_die(&stage.world, &stage.worker);
    memory->limit = WORLD_MEMORY;
    stage.worker = world_worker(&stage.world, stage.pool);
    CHECK_INPUT(&stage, "0::a\n");
    stage_say(&stage, "0::b\n");
    CHECK_ANSWER(&stage, 1, DROP_OK, "b");
    stage_close(&stage);
}

/* A file that may not grow takes the first messages and then breaks, in one turn. */
static void test_input_that_breaks_behind_what_was_sent(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    struct drop_reactor_options reactor_options = world_options();
    char path[] = "/tmp/drop-test-tokened-XXXXXX";
    struct rlimit before, limit;
    int output[2], file = mkostemp(path, O_CLOEXEC);
    REQUIRE(file >= 0 && pipe2(output, O_CLOEXEC) == 0);
    unlink(path);
    world_open(&stage.world, &reactor_options);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){12, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    stage.pool = world_pool_with(&stage.world, &options);
    stage.worker = (struct world_worker){.id = ++stage.world.ids, .input = -1, .output = output[1]};
    struct drop_worker_parts parts = {.stdin_fd = file, .stdout_fd = output[0]};
    world_command(&stage.world, DROP_COMMAND_WORKER_ADD, stage.pool->id, stage.worker.id, 0, &parts,
                  sizeof parts);
    stage.client = world_join(&stage.world);
    for (uint64_t id = 1; id <= 3; id++)
        world_ask(&stage.client, DROP_CALL, id, "p", "x");
    world_turn(&stage.world); /* 12 of the 15 bytes are written: two messages */
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK_GONE(&stage, "write");
    close(output[1]);
    stage.worker = world_worker(&stage.world, stage.pool);
    CHECK_INPUT(&stage, "0::x\n");
    stage_say(&stage, "0::y\n");
    unsigned statuses[DROP_STATUS_COUNT];
    hear_all(3, statuses);
    CHECK_EQUAL(statuses[DROP_ERROR], 2);
    CHECK_EQUAL(statuses[DROP_OK], 1);
    stage_close(&stage);
}

/* Nobody waits for what is left to be written. */
static void test_a_drained_worker_leaves_nothing(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    options.inflight = 60;
    call_many(&options, 60);
    for (uint64_t id = 1; id <= 60; id++) {
        char line[32];
        snprintf(line, sizeof line, "%llx::y\n", (unsigned long long)id - 1);
        stage_say(&stage, line); /* also to what it has not read */
        CHECK_ANSWER(&stage, id, DROP_OK, "y");
    }
    stage_remove_worker(&stage, true);
    CHECK(world_happening(&stage.world, DROP_WORKER_DRAINED));
    stage_close(&stage);
}

static void test_as_many_as_may_be(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    static unsigned statuses[DROP_STATUS_COUNT];
    options.inflight = DROP_INFLIGHT_MAX;
    options.queue = 1;
    stage_open(&stage, &options);
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t id = 0; id < DROP_INFLIGHT_MAX + 2; id++)
            stage_call(&stage, id, "x");
        CHECK_EQUAL(stage.pool->inflight, DROP_INFLIGHT_MAX);
        CHECK_ANSWER(&stage, DROP_INFLIGHT_MAX + 1, DROP_OVERLOADED, NULL);
        CHECK_EQUAL(answer_all(), DROP_INFLIGHT_MAX + 1);
        memset(statuses, 0, sizeof statuses);
        for (uint64_t id = 0; id < DROP_INFLIGHT_MAX + 1; id++)
            statuses[world_hear(&stage.world, &stage.client).code]++;
        CHECK_EQUAL(statuses[DROP_OK], DROP_INFLIGHT_MAX + 1);
    }
    stage_close(&stage);
}

int main(void)
{
    RUN(test_death_fails_what_was_sent_and_no_more);
    RUN(test_retries_send_all_of_it_again);
    RUN(test_a_retry_needs_no_memory);
    RUN(test_input_that_breaks_behind_what_was_sent);
    RUN(test_a_drained_worker_leaves_nothing);
    RUN(test_as_many_as_may_be);
    return check_summary();
}
