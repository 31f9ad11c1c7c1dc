/* Kind async: tokens of every sort, timeouts of one message and of a worker, answers too large. */
#define _GNU_SOURCE
#include "stage.h"

static struct stage stage;

static void set_up(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    stage_open(&stage, &options);
}

/* Calls with the ids 1 to `count`; the tokens of the first eight are 0 to 7. */
static void call_each(unsigned count)
{
    for (unsigned id = 1; id <= count; id++)
        world_ask(&stage.client, DROP_CALL, id, "p", "x");
    world_turn(&stage.world);
}

/* As if the worker had answered somebody later than it did. */
static void answered_again_after_ms(uint64_t ms)
{
    stage.pool->workers->head_since_ns = drop_clock_ns() + ms * DROP_NS_PER_MS;
}

static void test_answers_in_any_order(void)
{
    set_up();
    call_each(3);
    CHECK_INPUT(&stage, "0::x\n1::x\n2::x\n");
    stage_say(&stage, "2::third\n0::first\n1::\n");
    CHECK_ANSWER(&stage, 3, DROP_OK, "third");
    CHECK_ANSWER(&stage, 1, DROP_OK, "first");
    CHECK_ANSWER(&stage, 2, DROP_OK, "");
    CHECK_EQUAL(stage.pool->counters.answers, 3);
    stage_close(&stage);
}

static void test_byte_by_byte(void)
{
    static const char said[] = "1::b::b\n0::a\r\n";
    set_up();
    call_each(2);
    for (size_t i = 0; i < sizeof said - 1; i++)
        stage_say(&stage, (char[]){said[i], '\0'});
    CHECK_ANSWER(&stage, 2, DROP_OK, "b::b");
    CHECK_ANSWER(&stage, 1, DROP_OK, "a\r");
    stage_close(&stage);
}

static void test_tokens_that_nobody_waits_for(void)
{
    static const char *const lines[] = {
        "",      ":",     "::",     "::x",     "x",       "0",    "0:",    "0:x",  "0:x::y",
        "1::x",  "00::x", "400::x", "0400::x", "A::x",    "g::x", " 0::x", "-0::x", "0x0::x",
        "0 ::x", "8::x",  "3ff::x", "ffffffffffffffff::x", "10000000000000000::x",
        "00000000000000000000000000000000000000000000000000::x",
    };
    const unsigned count = sizeof lines / sizeof lines[0];
    set_up();
    call_each(1);
    for (unsigned i = 0; i < count; i++) {
        stage_say(&stage, lines[i]);
        stage_say(&stage, "\n");
        CHECK_EQUAL(stage.pool->counters.unasked, i + 1);
    }
    CHECK_SILENCE(&stage);
    stage_say(&stage, "0::mine\n0::again\n");
    CHECK_ANSWER(&stage, 1, DROP_OK, "mine");
    CHECK_SILENCE(&stage);
    CHECK_EQUAL(stage.pool->counters.unasked, count + 1);
    CHECK_EQUAL(stage.pool->worker_count, 1);
    stage_close(&stage);
}

static void test_unknown_tokens_are_told_of_once_a_second(void)
{
    set_up();
    stage_say(&stage, "7::first\n7::second\n7::third\n");
    const struct drop_record *told = world_happening(&stage.world, DROP_UNKNOWN_TOKEN);
    REQUIRE(told);
    CHECK_EQUAL(told->c, 1);
    CHECK_BYTES(told->bytes, told->length, "7::first");
    CHECK(!world_happening(&stage.world, DROP_UNKNOWN_TOKEN));
    CHECK_EQUAL(stage.pool->counters.unasked, 3);
    stage_close(&stage);
}

/* Its place has another message by then, with another token. */
static void test_a_late_answer_is_not_the_next_one(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    options.timeout_ns = 500 * DROP_NS_PER_MS;
    stage_open(&stage, &options);
    stage_call(&stage, 1, "slow");
    world_pass_ms(&stage.world, 300);
    stage_call(&stage, 2, "quick");
    CHECK_INPUT(&stage, "0::slow\n1::quick\n");
    stage_say(&stage, "1::done\n"); /* so that it is not silent */
    CHECK_ANSWER(&stage, 2, DROP_OK, "done");
    answered_again_after_ms(400);
    world_pass_ms(&stage.world, 600);
    CHECK_ANSWER(&stage, 1, DROP_TIMEOUT, NULL);
    CHECK_EQUAL(stage.pool->worker_count, 1);
    stage_call(&stage, 3, "next");
    CHECK_INPUT(&stage, "400::next\n");
    stage_say(&stage, "0::too late\n");
    CHECK_SILENCE(&stage);
    CHECK_EQUAL(stage.pool->counters.unasked, 1);
    stage_say(&stage, "400::next\n");
    CHECK_ANSWER(&stage, 3, DROP_OK, "next");
    stage_close(&stage);
}

static void test_a_silent_worker_is_gone(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    options.timeout_ns = 500 * DROP_NS_PER_MS;
    stage_open(&stage, &options);
    call_each(2);
    world_pass_ms(&stage.world, 600);
    CHECK_ANSWER(&stage, 2, DROP_TIMEOUT, NULL);
    CHECK_ANSWER(&stage, 1, DROP_TIMEOUT, NULL);
    CHECK_GONE(&stage, "timeout");
    stage_close(&stage);
}

static void test_a_caller_that_waits_no_longer(void)
{
    set_up();
    stage_call_within(&stage, 1, "a", 200);
    stage_call(&stage, 2, "b");
    world_pass_ms(&stage.world, 300);
    CHECK_ANSWER(&stage, 1, DROP_TIMEOUT, NULL);
    world_ask(&stage.client, DROP_CANCEL, 2, "p", "");
    CHECK_ANSWER(&stage, 2, DROP_CANCELLED, NULL);
    world_ask(&stage.client, DROP_CANCEL, 2, "p", "");
    stage_say(&stage, "1::late\n0::late\n");
    CHECK_SILENCE(&stage);
    CHECK_EQUAL(stage.pool->counters.late, 2);
    CHECK_EQUAL(stage.pool->counters.unasked, 0);
    CHECK_EQUAL(stage.pool->inflight, 0);
    stage_close(&stage);
}

static void probe(const char *payload, const char *expect)
{
    char bytes[64];
    int length = snprintf(bytes, sizeof bytes, "%s%s", payload, expect);
    world_command(&stage.world, DROP_COMMAND_WORKER_PROBE, stage.worker.id, strlen(payload), 0,
                  bytes, (size_t)length);
    world_turn(&stage.world);
}

/* It goes on answering others: the question is a deadline of its own. */
static void test_a_probe_alone_times_out(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    options.timeout_ns = 500 * DROP_NS_PER_MS;
    stage_open(&stage, &options);
    probe("well?", "yes");
    CHECK_INPUT(&stage, "0::well?\n");
    stage_call(&stage, 1, "a");
    stage_say(&stage, "1::a\n");
    CHECK_ANSWER(&stage, 1, DROP_OK, "a");
    answered_again_after_ms(400);
    world_pass_ms(&stage.world, 600);
    CHECK_GONE(&stage, "timeout");
    CHECK_EQUAL(stage.pool->counters.failed[DROP_TIMEOUT], 0);
    stage_close(&stage);
}

static void test_probe(void)
{
    set_up();
    probe("well?", "yes");
    CHECK_INPUT(&stage, "0::well?\n");
    stage_say(&stage, "0::yes\n");
    const struct drop_record *told = world_happening(&stage.world, DROP_WORKER_HEALTH);
    REQUIRE(told);
    CHECK_BYTES(told->bytes, told->length, "ok");
    CHECK_EQUAL(stage.pool->counters.answers, 0);
    stage_close(&stage);
}

/* One byte more than a payload may have, and a token that leaves room for it in the line. */
static void test_an_answer_that_is_too_large(void)
{
    static char line[WORLD_PAYLOAD_MAX + 8];
    set_up();
    call_each(2);
    int prefix = snprintf(line, sizeof line, "1::");
    memset(line + prefix, 'y', WORLD_PAYLOAD_MAX + 1);
    line[prefix + WORLD_PAYLOAD_MAX + 1] = '\n';
    for (size_t at = 0, size = (size_t)prefix + WORLD_PAYLOAD_MAX + 2; at < size;) {
        at += world_write(&stage.worker, line + at, size - at);
        world_turn(&stage.world);
    }
    CHECK_ANSWER(&stage, 2, DROP_TOO_LARGE, NULL);
    CHECK_ANSWER(&stage, 1, DROP_ERROR, NULL);
    CHECK_GONE(&stage, "too_large");
    stage_close(&stage);
}

static void test_a_line_without_an_end(void)
{
    static char line[WORLD_PAYLOAD_MAX + 64];
    set_up();
    call_each(2);
    memset(line, 'y', sizeof line);
    memcpy(line, "0::", 3);
    for (size_t at = 0, wrote = 1; at < sizeof line && wrote; at += wrote) {
        wrote = world_write(&stage.worker, line + at, sizeof line - at);
        world_turn(&stage.world);
    }
    CHECK_ANSWER(&stage, 1, DROP_TOO_LARGE, NULL);
    CHECK_ANSWER(&stage, 2, DROP_ERROR, NULL);
    CHECK_GONE(&stage, "too_large");
    stage_close(&stage);
}

static void test_newlines(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_ASYNC);
    set_up();
    stage_call(&stage, 1, "a\nb");
    CHECK_ANSWER(&stage, 1, DROP_BAD_REQUEST, NULL);
    stage_close(&stage);
    options.ncm = true;
    stage_open(&stage, &options);
    stage_call(&stage, 1, "a\nb");
    CHECK_INPUT(&stage, "0::a\tncm\tb\n");
    stage_say(&stage, "0::\tncm\tc\n");
    CHECK_ANSWER(&stage, 1, DROP_OK, "\nc");
    stage_close(&stage);
}

int main(void)
{
    RUN(test_answers_in_any_order);
    RUN(test_byte_by_byte);
    RUN(test_tokens_that_nobody_waits_for);
    RUN(test_unknown_tokens_are_told_of_once_a_second);
    RUN(test_a_late_answer_is_not_the_next_one);
    RUN(test_a_silent_worker_is_gone);
    RUN(test_a_caller_that_waits_no_longer);
    RUN(test_probe);
    RUN(test_a_probe_alone_times_out);
    RUN(test_an_answer_that_is_too_large);
    RUN(test_a_line_without_an_end);
    RUN(test_newlines);
    return check_summary();
}
