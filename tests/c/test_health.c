/* Ready lines cut anywhere, and questions after a worker's health. */
#define _GNU_SOURCE
#include "stage.h"

static struct stage stage;

static void set_up(const char *ready)
{
    struct drop_pool_options options = stage_options(DROP_KIND_LINE);
    stage_open_with(&stage, &options, ready, 0);
}

static void test_nothing_is_given_before_the_ready_line(void)
{
    static const char said[] = "up and running\n";
    set_up("up");
    stage_call(&stage, 1, "x");
    for (size_t i = 0; i < sizeof said - 1; i++) {
        CHECK_INPUT(&stage, "");
        stage_say(&stage, (char[]){said[i], '\0'});
    }
    CHECK(world_happening(&stage.world, DROP_WORKER_READY));
    CHECK_INPUT(&stage, "x\n");
    stage_say(&stage, "y\n");
    CHECK_ANSWER(&stage, 1, DROP_OK, "y");
    stage_close(&stage);
}

static void test_another_first_line(void)
{
    static const char *const lines[] = {"down\n", "x", "u\n", "\n", "UP\n", " up\n", "u p"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        set_up("up");
        stage_call(&stage, 1, "waits");
        stage_say(&stage, lines[i]);
        CHECK_GONE(&stage, "garbled");
        CHECK_SILENCE(&stage);
        stage.worker = world_worker(&stage.world, stage.pool);
        stage_say(&stage, "answer\n");
        CHECK_ANSWER(&stage, 1, DROP_OK, "answer");
        stage_close(&stage);
    }
}

static void test_a_first_line_without_an_end(void)
{
    char text[4097];
    set_up("up");
    memset(text, 'p', sizeof text);
    memcpy(text, "up", 2);
    CHECK_EQUAL(world_write(&stage.worker, text, 4096), 4096);
    world_turn(&stage.world);
    CHECK_EQUAL(stage.pool->worker_count, 1);
    stage_say(&stage, "p");
    CHECK_GONE(&stage, "garbled");
    stage_close(&stage);
}

static void test_ready_and_more_in_one_write(void)
{
    set_up("up");
    stage_say(&stage, "up\nnobody asked\n");
    CHECK(world_happening(&stage.world, DROP_WORKER_READY));
    CHECK_GONE(&stage, "unasked");
    stage_close(&stage);
    struct drop_pool_options options = stage_options(DROP_KIND_STREAM);
    stage_open_with(&stage, &options, "up", 0);
    stage_say(&stage, "up\none\ntwo");
    CHECK_EQUAL(stage.pool->counters.answers, 1);
    world_die(&stage.world, &stage.worker);
    CHECK_EQUAL(stage.pool->counters.answers, 2);
    stage_close(&stage);
}

static void test_ready_lines_of_frames_and_tokens(void)
{
    static const enum drop_kind kinds[] = {DROP_KIND_FRAME, DROP_KIND_ASYNC};
    static const char *const answers[] = {"up\n\0\0\0\1y", "up\n0::y\n"};
    static const size_t lengths[] = {8, 8};
    for (size_t i = 0; i < 2; i++) {
        struct drop_pool_options options = stage_options(kinds[i]);
        stage_open_with(&stage, &options, "up", 0);
        CHECK_EQUAL(world_write(&stage.worker, answers[i], 3), 3);
        world_turn(&stage.world);
        stage_call(&stage, 1, "x");
        CHECK_EQUAL(world_write(&stage.worker, answers[i] + 3, lengths[i] - 3), lengths[i] - 3);
        CHECK_ANSWER(&stage, 1, DROP_OK, "y");
        stage_close(&stage);
    }
}

static void test_broadcasts_wait_for_it(void)
{
    set_up("up");
    struct drop_pool *source = world_pool(&stage.world, "s", DROP_KIND_STREAM);
    world_subscribe(&stage.world, source, stage.pool, true, "");
    struct world_worker emitter = world_worker(&stage.world, source);
    world_say(&stage.world, &emitter, "one\ntwo\n");
    CHECK_INPUT(&stage, "");
    stage_say(&stage, "up\n");
    CHECK_INPUT(&stage, "one\ntwo\n");
    stage_say(&stage, "1\n2\n");
    world_die(&stage.world, &emitter);
    stage_close(&stage);
}

static void test_a_worker_that_dies_before_it_is_ready(void)
{
    set_up("up");
    CHECK_EQUAL(world_write(&stage.worker, "up\n", 3), 3);
    stage_call(&stage, 1, "x");
    world_die(&stage.world, &stage.worker);
    CHECK(world_happening(&stage.world, DROP_WORKER_READY));
    stage_close(&stage);
    set_up("up");
    world_die(&stage.world, &stage.worker);
    CHECK(!world_happening(&stage.world, DROP_WORKER_READY));
    stage_close(&stage);
}

/* What it wrote is read when its death is known; by then nothing is given to it any more. */
static void test_ready_by_the_last_breath(void)
{
    set_up("up");
    stage_call(&stage, 1, "x");
    CHECK_EQUAL(world_write(&stage.worker, "up\n", 3), 3);
    drop_worker_exited(stage.pool->workers, "exit code 1");
    CHECK_EQUAL(stage.pool->worker_count, 0);
    CHECK_EQUAL(stage.pool->mailbox.count, 1);
    stage_close(&stage);
}

/* ---- questions ---- */

static void probe(const char *payload, const char *expect)
{
    char bytes[64];
    int length = snprintf(bytes, sizeof bytes, "%s%s", payload, expect ? expect : "");
    world_command(&stage.world, DROP_COMMAND_WORKER_PROBE, stage.worker.id, strlen(payload),
                  !expect, bytes, (size_t)length);
    world_turn(&stage.world);
}

static void check_health(const char *outcome)
{
    const struct drop_record *told = world_happening(&stage.world, DROP_WORKER_HEALTH);
    REQUIRE(told);
    CHECK_EQUAL(told->b, stage.worker.id);
    check_bytes(__FILE__, __LINE__, outcome, told->bytes, told->length, outcome, strlen(outcome));
}

static void test_answers_to_a_question(void)
{
    static const struct {
        const char *expect, *answer, *outcome;
    } rows[] = {
        {"yes", "yes\n", "ok"},    {"yes", "no\n", "wrong"}, {"yes", "yes.\n", "wrong"},
        {"yes", "ye\n", "wrong"},  {"", "\n", "ok"},         {"", "x\n", "wrong"},
        {NULL, "whatever\n", "ok"},
    };
    set_up("");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        probe("well?", rows[i].expect);
        CHECK_INPUT(&stage, "well?\n");
        stage_say(&stage, rows[i].answer);
        check_health(rows[i].outcome);
    }
    stage_call(&stage, 1, "x");
    stage_say(&stage, "y\n");
    CHECK_ANSWER(&stage, 1, DROP_OK, "y");
    /* The books are of messages: nobody has sent those questions. */
    CHECK_EQUAL(stage.pool->counters.messages, 1);
    CHECK_EQUAL(stage.pool->counters.answers, 1);
    CHECK_EQUAL(stage.pool->counters.bytes_out, 1);
    CHECK_EQUAL(drop_histogram_count(&stage.pool->latency), 1);
    CHECK_EQUAL(stage.pool->workers->answered, 1);
    stage_close(&stage);
}

static void test_questions_are_nobodys_events(void)
{
    set_up("");
    struct drop_pool *target = world_pool(&stage.world, "q", DROP_KIND_LINE);
    world_subscribe(&stage.world, stage.pool, target, false, "");
    probe("well?", NULL);
    stage_say(&stage, "yes\n");
    check_health("ok");
    CHECK_EQUAL(target->mailbox.count, 0);
    stage_close(&stage);
}

static void test_who_is_not_asked(void)
{
    set_up("up");
    probe("well?", NULL);
    check_health("busy"); /* it is not ready */
    stage_say(&stage, "up\n");
    stage_call(&stage, 1, "x");
    probe("well?", NULL);
    check_health("busy");
    stage_say(&stage, "y\n");
    probe("well?", NULL);
    probe("well?", NULL); /* one question at a time */
    check_health("busy");
    CHECK_INPUT(&stage, "x\nwell?\n");
    stage_say(&stage, "yes\n");
    check_health("ok");
    stage_close(&stage);
    struct drop_pool_options options = stage_options(DROP_KIND_STREAM);
    stage_open_with(&stage, &options, "", 0);
    probe("well?", NULL);
    check_health("busy");
    stage_close(&stage);
}

static void test_a_question_without_an_answer(void)
{
    struct drop_pool_options options = stage_options(DROP_KIND_LINE);
    options.timeout_ns = 500 * DROP_NS_PER_MS;
    options.retries = 3;
    stage_open_with(&stage, &options, "", 0);
    probe("well?", NULL);
    world_pass_ms(&stage.world, 600);
    CHECK(!world_happening(&stage.world, DROP_WORKER_HEALTH));
    stage_close(&stage);
    stage_open_with(&stage, &options, "", 0);
    probe("well?", NULL);
    world_pass_ms(&stage.world, 600);
    CHECK_GONE(&stage, "timeout");
    CHECK_EQUAL(stage.pool->mailbox.count, 0);
    stage_close(&stage);
    stage_open_with(&stage, &options, "", 0);
    probe("well?", NULL);
    world_die(&stage.world, &stage.worker);
    CHECK_GONE(&stage, "eof");
    CHECK_EQUAL(stage.pool->mailbox.count, 0);
    CHECK_EQUAL(stage.pool->counters.retried, 0);
    CHECK_EQUAL(stage.pool->counters.dropped[DROP_ERROR], 0);
    stage_close(&stage);
}

static void test_a_drained_worker_answers_the_question(void)
{
    set_up("");
    probe("well?", NULL);
    stage_remove_worker(&stage, true);
    CHECK_EQUAL(stage.pool->worker_count, 1);
    stage_say(&stage, "yes\n");
    check_health("ok");
    CHECK(world_happening(&stage.world, DROP_WORKER_DRAINED));
    stage_close(&stage);
}

int main(void)
{
    RUN(test_nothing_is_given_before_the_ready_line);
    RUN(test_another_first_line);
    RUN(test_a_first_line_without_an_end);
    RUN(test_ready_and_more_in_one_write);
    RUN(test_ready_lines_of_frames_and_tokens);
    RUN(test_broadcasts_wait_for_it);
    RUN(test_a_worker_that_dies_before_it_is_ready);
    RUN(test_ready_by_the_last_breath);
    RUN(test_answers_to_a_question);
    RUN(test_questions_are_nobodys_events);
    RUN(test_who_is_not_asked);
    RUN(test_a_question_without_an_answer);
    RUN(test_a_drained_worker_answers_the_question);
    return check_summary();
}
