/* Workers that have ended halfway: their stdout, their stdin or their process, in any order. */
#define _GNU_SOURCE
#include "stage.h"

static struct stage stage;

enum { PID = 1 << 30 }; /* of nobody: it is only known that there is one */

static void set_up(uint64_t timeout_ms)
{
    struct drop_pool_options options = stage_options(DROP_KIND_LINE);
    options.timeout_ns = timeout_ms * DROP_NS_PER_MS;
    stage_open_with(&stage, &options, "", PID);
}

static void exited(const char *how)
{
    world_command(&stage.world, DROP_COMMAND_WORKER_EXITED, stage.worker.id, 0, 0, how,
                  strlen(how) + 1);
    world_turn(&stage.world);
}

static bool says(struct world_frame frame, const char *text)
{
    return memmem(frame.body, frame.length, text, strlen(text)) != NULL;
}

static void end_output(void)
{
    close(stage.worker.output);
    stage.worker.output = -1;
    world_turn(&stage.world);
}

static void test_its_stdout_ends_and_then_it_is_known_how(void)
{
    set_up(0);
    stage_call(&stage, 1, "x");
    end_output();
    CHECK_SILENCE(&stage);
    stage_call(&stage, 2, "for another one");
    exited("exit code 3");
    struct world_frame frame = world_hear(&stage.world, &stage.client);
    CHECK(frame.id == 1 && frame.code == DROP_ERROR && says(frame, "exit code 3"));
    CHECK_GONE(&stage, "eof");
    CHECK_EQUAL(stage.pool->mailbox.count, 1);
    stage_close(&stage);
}

static void test_it_is_known_how_and_then_its_stdout_ends(void)
{
    set_up(0);
    stage_call(&stage, 1, "x");
    stage_call(&stage, 2, "y");
    CHECK_EQUAL(world_write(&stage.worker, "one\n", 4), 4);
    exited("killed by SIGBUS");
    CHECK_ANSWER(&stage, 1, DROP_OK, "one");
    struct world_frame frame = world_hear(&stage.world, &stage.client);
    CHECK(frame.id == 2 && frame.code == DROP_ERROR && says(frame, "killed by SIGBUS"));
    CHECK_GONE(&stage, "eof");
    exited("too late");
    stage_close(&stage);
}

static void test_its_stdout_ends_and_it_lives_on(void)
{
    set_up(0);
    stage_call(&stage, 1, "x");
    end_output();
    world_pass_ms(&stage.world, 150);
    CHECK_ANSWER(&stage, 1, DROP_ERROR, "the worker closed its stdout before it answered");
    CHECK_GONE(&stage, "eof");
    stage_close(&stage);
}

/* A timer that was armed for something else is not the end of the wait. */
static void test_a_deadline_meanwhile(void)
{
    set_up(120);
    stage_call_within(&stage, 1, "x", 30);
    stage_call(&stage, 2, "y");
    end_output();
    world_pass_ms(&stage.world, 40);
    CHECK_ANSWER(&stage, 1, DROP_TIMEOUT, NULL);
    CHECK_EQUAL(stage.pool->worker_count, 1);
    exited("exit code 3");
    CHECK_EQUAL(stage.pool->worker_count, 0);
    CHECK_EQUAL(stage.pool->mailbox.count, 1); /* it was not at the head */
    stage_close(&stage);
}

/* The usual death of a worker that does not read: both pipes break at once. */
static void test_stdout_and_a_full_stdin_end_together(void)
{
    static char payload[100000];
    static char frame[sizeof payload + 64];
    set_up(0);
    memset(payload, 'x', sizeof payload);
    size_t length = world_put(frame, DROP_CALL, 1, "p", payload, sizeof payload);
    for (size_t at = 0; at < length;) {
        at += world_send(&stage.client, frame + at, length - at);
        world_turn(&stage.world);
    }
    CHECK(stage.pool->workers->writing);
    end_output();
    world_die(&stage.world, &stage.worker);
    CHECK_SILENCE(&stage);
    exited("killed by SIGKILL");
    struct world_frame answer = world_hear(&stage.world, &stage.client);
    CHECK(answer.code == DROP_ERROR && says(answer, "killed by SIGKILL"));
    CHECK_GONE(&stage, "eof");
    stage_close(&stage);
}

static void test_halfway_and_then_removed_or_drained(void)
{
    for (int drain = 0; drain < 2; drain++) {
        set_up(0);
        stage_call(&stage, 1, "x");
        end_output();
        stage_remove_worker(&stage, drain);
        if (drain)
            exited("exit code 1");
        CHECK_ANSWER(&stage, 1, DROP_ERROR, NULL);
        CHECK_GONE(&stage, drain ? "eof" : "removed");
        stage_close(&stage);
    }
}

/* Its answers have no room when it dies: they come when there is some, the failure behind them. */
static void test_exited_while_nobody_takes_its_answers(void)
{
    struct drop_pool_options options = world_pool_options("q", DROP_KIND_LINE);
    options.queue = 1;
    set_up(0);
    struct drop_pool *target = world_pool_with(&stage.world, &options);
    world_subscribe(&stage.world, stage.pool, target, false, "");
    for (uint64_t id = 1; id <= 4; id++)
        stage_call(&stage, id, "x");
    stage_say(&stage, "1\n2\n3\n");
    exited("exit code 3");
    world_die(&stage.world, &stage.worker);
    CHECK_ANSWER(&stage, 1, DROP_OK, "1");
    CHECK_SILENCE(&stage);
    struct world_worker sink = world_worker(&stage.world, target);
    for (int i = 0; i < 3; i++)
        world_say(&stage.world, &sink, "taken\n");
    CHECK_ANSWER(&stage, 2, DROP_OK, "2");
    CHECK_ANSWER(&stage, 3, DROP_OK, "3");
    CHECK_ANSWER(&stage, 4, DROP_ERROR, "the worker ended before it answered");
    world_die(&stage.world, &sink);
    stage_close(&stage);
}

int main(void)
{
    RUN(test_its_stdout_ends_and_then_it_is_known_how);
    RUN(test_it_is_known_how_and_then_its_stdout_ends);
    RUN(test_its_stdout_ends_and_it_lives_on);
    RUN(test_a_deadline_meanwhile);
    RUN(test_stdout_and_a_full_stdin_end_together);
    RUN(test_halfway_and_then_removed_or_drained);
    RUN(test_exited_while_nobody_takes_its_answers);
    return check_summary();
}
