/* Kind stream: every line is an event, until the last byte; who has no room stops the source. */
#define _GNU_SOURCE
#include "stage.h"

static struct stage stage;

/* The source "p", whose events are messages of "q". */
static struct drop_pool *target;

static void set_up_with(const struct drop_pool_options *options, uint32_t queue)
{
    struct drop_pool_options target_options = world_pool_options("q", DROP_KIND_LINE);
    target_options.queue = queue;
    stage_open(&stage, options);
    target = world_pool_with(&stage.world, &target_options);
    world_subscribe(&stage.world, stage.pool, target, false, "");
}

static void set_up(uint32_t queue)
{
    struct drop_pool_options options = stage_options(DROP_KIND_STREAM);
    set_up_with(&options, queue);
}

#define CHECK_EVENTS(...)                                                                         \
    do {                                                                                          \
        static const char *const expected[] = {__VA_ARGS__};                                      \
        check_events(__LINE__, expected, sizeof expected / sizeof expected[0]);                   \
    } while (0)

/* What waits in the mailbox of "q"; takes it out. */
static void check_events(int line, const char *const *expected, size_t count)
{
    struct drop_message *message;
    size_t found = 0;
    for (; (message = drop_queue_pop(&target->mailbox)); found++) {
        if (found < count)
            check_bytes(__FILE__, line, "event", message->payload, message->length,
                        expected[found], strlen(expected[found]));
        drop_message_destroy(&stage.world.reactor->memory, message);
        stage.world.reactor->pending--;
    }
    check_equal(__FILE__, line, "events", (long long)found, (long long)count);
    drop_pool_refill(target);
    world_turn(&stage.world);
}

static void test_lines_are_events(void)
{
    set_up(10);
    stage_say(&stage, "one\n\ntwo\r\nthr");
    CHECK_EVENTS("one", "", "two\r");
    stage_say(&stage, "ee\n");
    uint64_t id = target->mailbox.first->ticket.id;
    CHECK_EVENTS("three");
    stage_say(&stage, "four\n");
    CHECK_EQUAL(target->mailbox.first->ticket.id, id + 1);
    CHECK_EVENTS("four");
    CHECK_EQUAL(stage.pool->counters.answers, 5);
    CHECK_EQUAL(stage.pool->counters.events, 5);
    stage_close(&stage);
}

static void test_it_takes_no_messages(void)
{
    set_up(10);
    stage_call(&stage, 1, "x");
    CHECK_ANSWER(&stage, 1, DROP_BAD_REQUEST, NULL);
    CHECK_INPUT(&stage, "");
    stage_close(&stage);
}

static void test_the_last_line_needs_no_newline(void)
{
    set_up(10);
    CHECK_EQUAL(world_write(&stage.worker, "one\ntwo", 7), 7);
    world_die(&stage.world, &stage.worker);
    CHECK_GONE(&stage, "eof");
    CHECK_EVENTS("one", "two");
    stage_close(&stage);
}

static void test_the_last_line_has_to_wait(void)
{
    set_up(1);
    CHECK_EQUAL(world_write(&stage.worker, "one\ntwo", 7), 7);
    world_die(&stage.world, &stage.worker);
    CHECK_EQUAL(stage.pool->worker_count, 1);
    CHECK_EVENTS("one");
    CHECK_GONE(&stage, "eof");
    CHECK_EVENTS("two");
    stage_close(&stage);
}

/* Its stdout stays open in a child of it. */
static void test_the_last_line_of_one_that_is_known_to_be_dead(void)
{
    for (uint32_t queue = 1; queue <= 10; queue += 9) {
        set_up(queue);
        stage_say(&stage, "one\ntwo");
        stage_command(&stage, DROP_COMMAND_WORKER_EXITED, stage.worker.id, 0);
        if (queue == 1) {
            CHECK_EVENTS("one");
            CHECK_EVENTS("two");
        } else {
            CHECK_EVENTS("one", "two");
        }
        CHECK_GONE(&stage, "eof");
        stage_close(&stage);
    }
}

static void test_a_full_pool_stops_the_source(void)
{
    set_up(2);
    stage_say(&stage, "1\n2\n3\n4\n5\n");
    CHECK(!stage.pool->workers->reading);
    CHECK_EVENTS("1", "2");
    CHECK_EVENTS("3", "4");
    CHECK_EVENTS("5");
    CHECK(stage.pool->workers->reading);
    stage_close(&stage);
}

static void test_a_drained_source_has_its_say(void)
{
    char byte;
    set_up(2);
    stage_say(&stage, "1\n");
    stage_remove_worker(&stage, true);
    CHECK_EQUAL(read(stage.worker.input, &byte, 1), 0); /* its stdin has ended */
    stage_say(&stage, "2\n3\n");
    CHECK_EVENTS("1", "2");
    CHECK_EVENTS("3");
    CHECK_EQUAL(stage.pool->worker_count, 1);
    stage_remove_worker(&stage, true); /* a second time changes nothing */
    stage_say(&stage, "4");
    world_die(&stage.world, &stage.worker);
    CHECK_GONE(&stage, "eof");
    CHECK_EVENTS("4");
    stage_close(&stage);
}

static void test_a_line_that_is_too_long(void)
{
    static char line[WORLD_PAYLOAD_MAX + 2];
    set_up(10);
    memset(line, 'x', sizeof line);
    for (size_t at = 0, wrote = 1; at < sizeof line && wrote; at += wrote) {
        wrote = world_write(&stage.worker, line + at, sizeof line - at);
        world_turn(&stage.world);
    }
    CHECK_GONE(&stage, "too_large");
    CHECK_EQUAL(target->mailbox.count, 0);
    stage_close(&stage);
}

static void test_ncm(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_STREAM);
    options.ncm = true;
    set_up_with(&options, 10);
    stage_say(&stage, "a\tncm\tb\n");
    CHECK_EQUAL(target->counters.dropped[DROP_BAD_REQUEST], 1); /* "q" takes no newlines */
    stage_close(&stage);
}

static void test_without_memory_for_the_last_line(void)
{
    set_up(10);
    char half[128];
    memset(half, 'x', sizeof half);
    CHECK_EQUAL(world_write(&stage.worker, half, sizeof half), sizeof half);
    world_turn(&stage.world); /* a block of 512 bytes: room for the newline is there already */
    struct drop_memory *memory = &stage.world.reactor->memory;
    memory->limit = memory->in_use;
    world_die(&stage.world, &stage.worker);
    CHECK_GONE(&stage, "eof");
    CHECK_EQUAL(target->counters.dropped[DROP_OVERLOADED], 1);
    stage_close(&stage);
}

int main(void)
{
    RUN(test_lines_are_events);
    RUN(test_it_takes_no_messages);
    RUN(test_the_last_line_needs_no_newline);
    RUN(test_the_last_line_has_to_wait);
    RUN(test_the_last_line_of_one_that_is_known_to_be_dead);
    RUN(test_a_full_pool_stops_the_source);
    RUN(test_a_drained_source_has_its_say);
    RUN(test_a_line_that_is_too_long);
    RUN(test_ncm);
    RUN(test_without_memory_for_the_last_line);
    return check_summary();
}
