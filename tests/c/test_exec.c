/* One process for one message: its answer, its exit, its time, and what is left of it. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/stat.h>

#include "processes.h"

static struct processes processes;
static struct stage *const stage = &processes.stage;

static void call(uint64_t id, const char *payload)
{
    processes_call(&processes, id, payload, false, 0);
}

static struct drop_execution *execution(void)
{
    return stage->pool->workers->execution;
}

static void test_what_it_writes_is_the_answer(void)
{
    for (uint32_t spare = 0; spare <= 2; spare += 2) {
        processes_open(&processes, "tr a-z A-Z", spare);
        call(1, "abc\ndef");
        CHECK_RESULT(&processes, 1, DROP_OK, "ABC\nDEF");
        call(2, "");
        CHECK_RESULT(&processes, 2, DROP_OK, "");
        CHECK_EQUAL(stage->pool->counters.answers, 2);
        CHECK_EQUAL(stage->pool->counters.bytes_out, 7);
        processes_close(&processes);
    }
}

static void test_how_it_ends(void)
{
    static const struct {
        char *script, *text;
    } rows[] = {
        {"echo lost; exit 3", "exit code 3"},
        {"kill -9 $$", "killed by SIGKILL"},
        {"kill -40 $$", "killed by signal 40"},
        {"exec no-such-program 2> /dev/null", "exit code 127"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        processes_open(&processes, rows[i].script, 0);
        call(1, "x");
        CHECK_RESULT(&processes, 1, DROP_ERROR, rows[i].text);
        CHECK_EQUAL(stage->pool->counters.failed[DROP_ERROR], 1);
        processes_close(&processes);
    }
}

/* What a child of it would write later is not the answer; and it does not live on. */
static void test_a_child_that_keeps_its_stdout(void)
{
    processes_open(&processes, "cat; (while :; do sleep 100; done) & exit 0", 1);
    call(1, "mine");
    CHECK_RESULT(&processes, 1, DROP_OK, "mine");
    processes_close(&processes);
}

/* A new FIFO; and a script about it. */
static void make_fifo(char path[64], char script[256], const char *format)
{
    strcpy(path, "/tmp/drop-test-exec-XXXXXX");
    REQUIRE(mkdtemp(path));
    REQUIRE(rmdir(path) == 0 && mkfifo(path, 0600) == 0);
    snprintf(script, 256, format, path);
}

static void test_a_timeout_kills_the_group(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    char fifo[64], script[256], byte;
    make_fifo(fifo, script, "(echo; exec sleep 1000) > %s & sleep 1000");
    int child = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    pool_options.timeout_ns = 300 * DROP_NS_PER_MS;
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe(script), 2, 0);
    call(1, "x");
    PROCESSES_UNTIL(&processes, stage->pool->exec->running == 1);
    fcntl(child, F_SETFL, 0);
    poll(&(struct pollfd){.fd = child, .events = POLLIN}, 1, -1);
    CHECK_EQUAL(read(child, &byte, 1), 1); /* the child is there */
    CHECK_RESULT(&processes, 1, DROP_TIMEOUT, NULL);
    CHECK_EQUAL(read(child, &byte, 1), 0); /* and is not any more */
    PROCESSES_UNTIL(&processes, stage->pool->worker_count == 0);
    processes_close(&processes);
    close(child);
    unlink(fifo);
}

/* It is killed, and counts as one that runs until it is dead. */
static void test_a_killed_one_takes_its_place_until_it_is_dead(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    pool_options.timeout_ns = 500 * DROP_NS_PER_MS;
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("read line; sleep $line; echo $line"), 1, 1);
    world_turn(&stage->world);
    PROCESSES_UNTIL(&processes, stage->pool->exec->ready == 1);
    call(1, "1000\n");
    call(2, "0\n");
    CHECK_EQUAL(stage->pool->exec->running, 1);
    CHECK_EQUAL(stage->pool->mailbox.count, 1);
    drop_timers_run(&stage->world.reactor->timers, drop_clock_ns() + 600 * DROP_NS_PER_MS);
    CHECK_EQUAL(stage->pool->exec->running, 1);
    CHECK_EQUAL(stage->pool->mailbox.count, 1);
    CHECK_RESULT(&processes, 1, DROP_TIMEOUT, NULL);
    CHECK_RESULT(&processes, 2, DROP_OK, "0\n");
    processes_close(&processes);
}

static void test_callers_that_do_not_wait(void)
{
    char fifo[64], script[256];
    make_fifo(fifo, script, "head -c 1 %s"); /* until the test lets it go on */
    int gate = open(fifo, O_RDWR | O_CLOEXEC);
    processes_open(&processes, script, 0);
    processes_call(&processes, 1, "", false, 30);
    CHECK_RESULT(&processes, 1, DROP_TIMEOUT, NULL);
    call(2, "");
    PROCESSES_UNTIL(&processes, stage->pool->exec->running == 2);
    world_ask(&stage->client, DROP_CANCEL, 2, "p", "");
    CHECK_RESULT(&processes, 2, DROP_CANCELLED, NULL);
    call(3, "");
    world_ask(&stage->client, DROP_CANCEL, 3, "p", "");
    CHECK_RESULT(&processes, 3, DROP_CANCELLED, NULL); /* none was started for it */
    CHECK_EQUAL(write(gate, "ab", 2), 2);
    PROCESSES_UNTIL(&processes, stage->pool->counters.late == 2);
    CHECK_EQUAL(stage->pool->inflight, 0);
    processes_close(&processes);
    close(gate);
    unlink(fifo);
}

static void test_a_client_that_is_gone(void)
{
    processes_open(&processes, "cat", 1);
    call(1, "x");
    world_hang_up(&stage->world, &stage->client);
    PROCESSES_UNTIL(&processes, stage->pool->counters.answers == 1);
    CHECK_EQUAL(stage->world.reactor->connection_count, 0);
    processes_close(&processes);
}

static void test_retries(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    char mark[] = "/tmp/drop-test-exec-XXXXXX", script[256];
    REQUIRE(mkdtemp(mark));
    snprintf(script, sizeof script, "rmdir %s 2> /dev/null && exit 7; cat", mark); /* fails once */
    pool_options.retries = 1;
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe(script), 2, 0);
    call(1, "again");
    CHECK_RESULT(&processes, 1, DROP_OK, "again");
    CHECK_EQUAL(stage->pool->counters.retried, 1);
    CHECK_EQUAL(stage->pool->counters.failed[DROP_ERROR], 0);
    processes_close(&processes);
}

static void test_too_much(void)
{
    processes_open(&processes, "head -c 1048577 /dev/zero; sleep 1000", 0);
    call(1, "x");
    CHECK_RESULT(&processes, 1, DROP_TOO_LARGE, NULL);
    processes_close(&processes);
    processes_open(&processes, "head -c 1048577 /dev/zero", 0);
    call(1, "x");
    CHECK_RESULT(&processes, 1, DROP_TOO_LARGE, NULL);
    processes_close(&processes);
    processes_open(&processes, "head -c 1048576 /dev/zero", 0);
    call(1, "x");
    struct world_frame frame = processes_hear(&processes);
    CHECK(frame.code == DROP_OK && frame.length == 1 << 20);
    processes_close(&processes);
}

static void test_memory_runs_out_in_an_answer(void)
{
    processes_open(&processes, "head -c 1000000 /dev/zero; sleep 1000", 0);
    call(1, "x");
    struct drop_memory *memory = &stage->world.reactor->memory;
    memory->limit = memory->in_use + 200000;
    CHECK_RESULT(&processes, 1, DROP_OVERLOADED, NULL);
    memory->limit = WORLD_MEMORY;
    processes_close(&processes);
}

/* ---- the end of its stderr ---- */

/* A logger that answers when the test says so. */
static struct {
    pthread_mutex_t mutex;
    struct drop_callmark *mark;
    int fd;
    int refuses; /* errno */
    drop_logsink_reply *reply;
    void *reply_context;
} logger = {.mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static int logger_add(void *context, const char *pool, size_t pool_length, uint64_t worker,
                      pid_t pid, int fd, bool tail, struct drop_callmark **mark)
{
    (void)context, (void)pool, (void)pool_length, (void)worker, (void)pid, (void)tail;
    pthread_mutex_lock(&logger.mutex);
    logger.fd = fd;
    logger.mark = *mark = drop_callmark_create();
    pthread_mutex_unlock(&logger.mutex);
    return 0;
}

static int logger_tail(void *context, struct drop_callmark *mark, drop_logsink_reply *reply,
                       void *reply_context)
{
    (void)context;
    CHECK(mark == logger.mark);
    if (logger.refuses)
        return logger.refuses;
    logger.reply = reply;
    logger.reply_context = reply_context;
    return 0;
}

static const struct drop_logsink sink = {NULL, logger_add, logger_tail};

/* A call of a process that fails; the reactor asks the logger, unless that refuses. */
static void set_up_failure(uint64_t timeout_ms)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    options.logs = &sink;
    pool_options.timeout_ns = timeout_ms * DROP_NS_PER_MS;
    logger.reply = NULL;
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("exit 3"), 1, 0);
    call(1, "x");
}

static void tear_down_failure(void)
{
    close(logger.fd);
    drop_callmark_release(logger.mark);
    processes_close(&processes);
}

static void test_the_end_of_its_stderr(void)
{
    set_up_failure(0);
    PROCESSES_UNTIL(&processes, logger.reply);
    logger.reply(logger.reply_context, "one\ntwo\n\n", 9);
    CHECK_RESULT(&processes, 1, DROP_ERROR, "exit code 3; its stderr ends with:\none\ntwo");
    tear_down_failure();
}

static void test_a_logger_that_has_stopped(void)
{
    logger.refuses = ESHUTDOWN;
    set_up_failure(0);
    CHECK_RESULT(&processes, 1, DROP_ERROR, "exit code 3");
    logger.refuses = 0;
    tear_down_failure();
}

/* The function's timeout does not concern a process that is dead. */
static void test_a_logger_that_says_nothing(void)
{
    set_up_failure(500);
    PROCESSES_UNTIL(&processes, logger.reply);
    world_pass_ms(&stage->world, 600);
    CHECK_EQUAL(stage->pool->worker_count, 1);
    world_pass_ms(&stage->world, 1100);
    CHECK_RESULT(&processes, 1, DROP_ERROR, "exit code 3");
    CHECK_EQUAL(stage->pool->worker_count, 0);
    logger.reply(logger.reply_context, "late", 4);
    world_turn(&stage->world);
    CHECK_SILENCE(stage);
    tear_down_failure();
}

/* A timeout that passes at that moment; the answer of the logger finds nobody. */
static void test_it_is_removed_while_the_logger_is_asked(void)
{
    set_up_failure(0);
    PROCESSES_UNTIL(&processes, logger.reply);
    CHECK(execution()->reaped);
    world_command(&stage->world, DROP_COMMAND_POOL_REMOVE, stage->pool->id, 0, 0, NULL, 0);
    CHECK_RESULT(&processes, 1, DROP_DRAINING, NULL);
    logger.reply(logger.reply_context, "late", 4);
    world_turn(&stage->world);
    tear_down_failure();
}

static void test_a_caller_goes_while_the_logger_is_asked(void)
{
    set_up_failure(0);
    PROCESSES_UNTIL(&processes, logger.reply);
    world_ask(&stage->client, DROP_CANCEL, 1, "p", "");
    CHECK_RESULT(&processes, 1, DROP_CANCELLED, NULL);
    logger.reply(logger.reply_context, "why", 3);
    PROCESSES_UNTIL(&processes, stage->pool->worker_count == 0);
    tear_down_failure();
}

int main(void)
{
    RUN(test_what_it_writes_is_the_answer);
    RUN(test_how_it_ends);
    RUN(test_a_child_that_keeps_its_stdout);
    RUN(test_a_timeout_kills_the_group);
    RUN(test_a_killed_one_takes_its_place_until_it_is_dead);
    RUN(test_callers_that_do_not_wait);
    RUN(test_a_client_that_is_gone);
    RUN(test_retries);
    RUN(test_too_much);
    RUN(test_memory_runs_out_in_an_answer);
    RUN(test_the_end_of_its_stderr);
    RUN(test_a_logger_that_has_stopped);
    RUN(test_a_logger_that_says_nothing);
    RUN(test_it_is_removed_while_the_logger_is_asked);
    RUN(test_a_caller_goes_while_the_logger_is_asked);
    return check_summary();
}
