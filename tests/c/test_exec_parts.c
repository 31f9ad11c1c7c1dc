/* Answers in parts: what a process writes goes to its caller as it comes, in order, at his pace. */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "processes.h"

static struct processes processes;
static struct stage *const stage = &processes.stage;

/* The process writes what the test writes into this. */
static char fifo[64];
static int gate;

static void set_up(void)
{
    static char script[256];
    strcpy(fifo, "/tmp/drop-test-parts-XXXXXX");
    REQUIRE(mkdtemp(fifo) && rmdir(fifo) == 0 && mkfifo(fifo, 0600) == 0);
    snprintf(script, sizeof script, "cat %s; read code; exit $code", fifo);
    processes_open(&processes, script, 0);
    gate = -1;
}

static void tear_down(void)
{
    if (gate >= 0)
        close(gate);
    unlink(fifo);
    processes_close(&processes);
}

/* A call whose process has begun. */
static void begin(uint64_t id, const char *code, bool in_parts)
{
    processes_call(&processes, id, code, in_parts, 0);
    PROCESSES_UNTIL(&processes, stage->pool->exec->running == 1);
    if (gate < 0)
        gate = open(fifo, O_WRONLY | O_CLOEXEC);
}

static void write_out(const char *text)
{
    CHECK_EQUAL(write(gate, text, strlen(text)), strlen(text));
}

static void end_output(void)
{
    close(gate);
    gate = -1;
}

static void check_part(const char *text)
{
    struct world_frame frame = processes_hear(&processes);
    CHECK_EQUAL(frame.type, DROP_ANSWER);
    CHECK_EQUAL(frame.flags, DROP_FLAG_MORE);
    CHECK_EQUAL(frame.code, DROP_OK);
    check_bytes(__FILE__, __LINE__, "part", frame.body, frame.length, text, strlen(text));
}

static void test_parts_come_as_they_are_written(void)
{
    set_up();
    begin(1, "0\n", true);
    write_out("one");
    check_part("one");
    write_out("two");
    check_part("two");
    end_output();
    CHECK_RESULT(&processes, 1, DROP_OK, "");
    CHECK_EQUAL(stage->pool->counters.bytes_out, 6);
    CHECK_EQUAL(stage->pool->counters.answers, 1);
    tear_down();
}

static void test_without_the_flag_it_comes_whole(void)
{
    set_up();
    begin(1, "0\n", false);
    write_out("one");
    PROCESSES_UNTIL(&processes, drop_buffer_length(&stage->pool->workers->inbox) == 3);
    write_out("two");
    end_output();
    CHECK_RESULT(&processes, 1, DROP_OK, "onetwo");
    tear_down();
}

static void test_an_error_behind_parts(void)
{
    set_up();
    begin(1, "3\n", true);
    write_out("one");
    check_part("one");
    end_output();
    CHECK_RESULT(&processes, 1, DROP_ERROR, "exit code 3");
    tear_down();
}

/* Who subscribes in the middle gets nothing of it: the beginning is not there any more. */
static void test_a_subscription_in_the_middle(void)
{
    set_up();
    struct drop_pool *target = world_pool(&stage->world, "q", DROP_KIND_FRAME);
    begin(1, "0\n", true);
    write_out("one");
    check_part("one");
    world_subscribe(&stage->world, stage->pool, target, false, "");
    write_out("two");
    check_part("two");
    end_output();
    CHECK_RESULT(&processes, 1, DROP_OK, "");
    CHECK_EQUAL(target->mailbox.count, 0);
    tear_down();
}

/* What was kept for the subscriber stays in front of what comes behind. */
static void test_a_subscription_that_ends_in_the_middle(void)
{
    set_up();
    struct drop_pool *target = world_pool(&stage->world, "q", DROP_KIND_FRAME);
    uint64_t subscription = world_subscribe(&stage->world, stage->pool, target, false, "");
    begin(1, "0\n", true);
    write_out("one");
    PROCESSES_UNTIL(&processes, drop_buffer_length(&stage->pool->workers->inbox) == 3);
    stage_command(stage, DROP_COMMAND_UNSUBSCRIBE, subscription, 0);
    write_out("two");
    end_output();
    CHECK_RESULT(&processes, 1, DROP_OK, "onetwo");
    tear_down();
}

/* He was told that it is over: what it writes from then on costs nothing, however much it is. */
static void test_a_caller_that_gave_up(void)
{
    set_up();
    begin(1, "0\n", true);
    write_out("one");
    check_part("one");
    world_ask(&stage->client, DROP_CANCEL, 1, "p", "");
    CHECK_RESULT(&processes, 1, DROP_CANCELLED, NULL);
    for (int i = 0; i < 20; i++) {
        static char piece[60001];
        memset(piece, 'x', sizeof piece - 1);
        write_out(piece);
        world_turn(&stage->world);
    }
    end_output();
    PROCESSES_UNTIL(&processes, stage->pool->counters.late == 1);
    CHECK_SILENCE(stage);
    tear_down();
}

/* The reactor's own memory stays small, and the process waits. */
static void test_a_slow_caller_stops_the_process(void)
{
    processes_open(&processes, "head -c 8000000 /dev/zero", 0);
    processes_call(&processes, 1, "x", true, 0);
    PROCESSES_UNTIL(&processes, stage->pool->workers && stage->pool->workers->waiter.list);
    CHECK(!stage->pool->workers->reading);
    size_t in_use = stage->world.reactor->memory.in_use, total = 0;
    CHECK(in_use < 3u << 20);
    struct world_frame frame;
    do {
        frame = processes_hear(&processes);
        total += frame.length;
    } while (frame.flags & DROP_FLAG_MORE);
    CHECK_EQUAL(total, 8000000);
    CHECK_EQUAL(frame.code, DROP_OK);
    processes_close(&processes);
}

/* The time in which it cannot write is not its own. */
static void test_a_slow_caller_costs_the_function_no_time(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    pool_options.timeout_ns = 20000 * DROP_NS_PER_MS;
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("head -c 8000000 /dev/zero"), 1, 0);
    processes_call(&processes, 1, "x", true, 0);
    PROCESSES_UNTIL(&processes, stage->pool->workers && stage->pool->workers->waiter.list);
    struct drop_worker *worker = stage->pool->workers;
    worker->head_since_ns -= 15000 * DROP_NS_PER_MS; /* as if it had all begun earlier: 15 s of */
    worker->execution->waits_since_ns -= 10000 * DROP_NS_PER_MS; /* work, 10 s of waiting */
    CHECK(worker->head_since_ns + 20000 * DROP_NS_PER_MS > drop_clock_ns());
    world_pass_ms(&stage->world, 9000);
    CHECK_EQUAL(stage->pool->counters.failed[DROP_TIMEOUT], 0);
    struct world_frame frame;
    do
        frame = processes_hear(&processes);
    while (frame.flags & DROP_FLAG_MORE);
    CHECK_EQUAL(frame.code, DROP_OK);
    processes_close(&processes);
}

/* Each part is a frame, and those have a limit. */
static void test_parts_are_not_larger_than_payloads(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    options.payload_max = 1000;
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("head -c 5500 /dev/zero"), 1, 0);
    processes_call(&processes, 1, "x", true, 0);
    struct world_frame frame;
    size_t total = 0;
    do {
        frame = processes_hear(&processes);
        CHECK(frame.length <= 1000);
        total += frame.length;
    } while (frame.flags & DROP_FLAG_MORE);
    CHECK_EQUAL(total, 5500);
    CHECK_EQUAL(frame.code, DROP_OK);
    processes_close(&processes);
}

/* It is dead long before all of it was taken. */
static void test_a_slow_caller_of_a_dead_process(void)
{
    processes_open(&processes, "head -c 1300000 /dev/zero; exit 3", 0);
    processes_call(&processes, 1, "x", true, 0);
    PROCESSES_UNTIL(&processes, stage->pool->workers && stage->pool->workers->waiter.list);
    size_t total = 0;
    struct world_frame frame;
    do {
        frame = processes_hear(&processes);
        total += frame.flags & DROP_FLAG_MORE ? frame.length : 0;
    } while (frame.flags & DROP_FLAG_MORE);
    CHECK_EQUAL(total, 1300000);
    CHECK_EQUAL(frame.code, DROP_ERROR);
    processes_close(&processes);
}

static void test_a_caller_that_hangs_up(void)
{
    processes_open(&processes, "head -c 8000000 /dev/zero", 0);
    processes_call(&processes, 1, "x", true, 0);
    PROCESSES_UNTIL(&processes, stage->pool->workers && stage->pool->workers->waiter.list);
    world_hang_up(&stage->world, &stage->client);
    PROCESSES_UNTIL(&processes, stage->pool->counters.answers == 1);
    CHECK_EQUAL(stage->world.reactor->connection_count, 0);
    processes_close(&processes);
}

static void test_the_pool_is_removed_while_the_caller_is_slow(void)
{
    processes_open(&processes, "head -c 8000000 /dev/zero", 0);
    processes_call(&processes, 1, "x", true, 0);
    PROCESSES_UNTIL(&processes, stage->pool->workers && stage->pool->workers->waiter.list);
    stage_command(stage, DROP_COMMAND_POOL_REMOVE, stage->pool->id, 0);
    struct world_frame frame;
    do
        frame = processes_hear(&processes);
    while (frame.flags & DROP_FLAG_MORE);
    CHECK_EQUAL(frame.code, DROP_DRAINING);
    processes_close(&processes);
}

int main(void)
{
    RUN(test_parts_come_as_they_are_written);
    RUN(test_without_the_flag_it_comes_whole);
    RUN(test_an_error_behind_parts);
    RUN(test_a_subscription_in_the_middle);
    RUN(test_a_subscription_that_ends_in_the_middle);
    RUN(test_a_caller_that_gave_up);
    RUN(test_a_slow_caller_stops_the_process);
    RUN(test_a_slow_caller_costs_the_function_no_time);
    RUN(test_parts_are_not_larger_than_payloads);
    RUN(test_a_slow_caller_of_a_dead_process);
    RUN(test_a_caller_that_hangs_up);
    RUN(test_the_pool_is_removed_while_the_caller_is_slow);
    return check_summary();
}
