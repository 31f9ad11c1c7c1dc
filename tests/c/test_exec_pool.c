/* The processes of an exec pool as a whole: how many are ready, how many run, of which recipe. */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "processes.h"

static struct processes processes;
static struct stage *const stage = &processes.stage;

static void call(uint64_t id, const char *payload)
{
    processes_call(&processes, id, payload, false, 0);
}

static struct drop_exec *exec(void)
{
    return stage->pool->exec;
}

static bool told(enum drop_happening kind)
{
    return world_happening(&stage->world, kind) != NULL;
}

/* ---- ready ones ---- */

static void test_a_warm_call_starts_nothing(void)
{
    processes_open(&processes, "cat", 2);
    CHECK_EQUAL(exec()->started, 2);
    call(1, "x");
    CHECK_RESULT(&processes, 1, DROP_OK, "x");
    PROCESSES_UNTIL(&processes, exec()->ready == 2);
    CHECK_EQUAL(exec()->started, 3);
    CHECK_EQUAL(exec()->running, 0);
    processes_close(&processes);
}

static void test_who_writes_at_once_is_not_kept_ready(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("echo now"), 2, 2);
    const struct drop_record *off = NULL;
    PROCESSES_UNTIL(&processes, (off = world_happening(&stage->world, DROP_SPARES_OFF)) != NULL);
    CHECK_BYTES(off->bytes, off->length, "wrote to stdout before it was given a message");
    CHECK(exec()->started <= 3); /* both, and not again and again */
    PROCESSES_UNTIL(&processes, stage->pool->worker_count == 0 && exec()->starting == 0);
    call(1, "x");
    CHECK_RESULT(&processes, 1, DROP_OK, "now\n");
    CHECK_EQUAL(exec()->ready, 0);
    CHECK(!told(DROP_SPARES_OFF));
    processes_close(&processes);
}

/* It wrote and is dead when the reactor looks: whatever epoll tells first, it wrote. */
static void test_who_wrote_and_is_dead_already(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("read line; echo $line"), 2, 1);
    world_turn(&stage->world);
    PROCESSES_UNTIL(&processes, exec()->ready == 1);
    struct drop_worker *worker = stage->pool->workers;
    CHECK_EQUAL(write(worker->input.fd, "x\n", 2), 2); /* from elsewhere, as it were */
    siginfo_t info;
    REQUIRE(waitid((idtype_t)P_PIDFD, (id_t)worker->execution->exit_source.fd, &info,
                   WEXITED | WNOWAIT) == 0);
    worker->execution->exit_source.ready(stage->world.reactor, &worker->execution->exit_source, 0);
    CHECK(told(DROP_SPARES_OFF));
    processes_close(&processes);
}

/* It was killed when the call was on its way: the call is answered by another one. `late`: only
 * when it was found alive already. */
static void check_death_at_that_moment(bool late)
{
    processes_open(&processes, "cat", 1);
    struct drop_worker *worker = stage->pool->workers;
    siginfo_t info;
    world_ask(&stage->client, DROP_CALL, 1, "p", "x");
    if (late) {
        struct drop_ticket ticket = {.id = 2, .deadline_ns = DROP_NEVER};
        CHECK_EQUAL(drop_worker_give(worker, &ticket, "y", 1), 0);
        stage->world.reactor->pending++;
    }
    kill(worker->pid, SIGKILL);
    REQUIRE(waitid((idtype_t)P_PIDFD, (id_t)worker->execution->exit_source.fd, &info,
                   WEXITED | WNOWAIT) == 0);
    CHECK_RESULT(&processes, 1, DROP_OK, "x");
    PROCESSES_UNTIL(&processes, stage->pool->counters.answers == (late ? 2 : 1));
    CHECK_EQUAL(stage->pool->counters.failed[DROP_ERROR], 0);
    processes_close(&processes);
}

static void test_who_dies_at_that_moment(void)
{
    check_death_at_that_moment(false);
    check_death_at_that_moment(true);
    CHECK(true);
}

static void test_who_ends_at_once_is_tried_three_times(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("exit 0"), 2, 1);
    PROCESSES_UNTIL(&processes, told(DROP_SPARES_OFF));
    CHECK_EQUAL(exec()->started, 3);
    call(1, "x");
    CHECK_RESULT(&processes, 1, DROP_OK, "");
    processes_close(&processes);
}

/* As if it had been longer since a message found none. */
static void age_spares(uint64_t ms)
{
    exec()->spares.relaxed_ns -= ms * DROP_NS_PER_MS;
    drop_exec_touch(stage->pool);
    world_turn(&stage->world);
}

static void test_a_surplus_goes_with_time(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    struct drop_exec_options exec_options = {processes_recipe("cat"), 8, 1, 8};
    processes_open_with(&processes, &pool_options, &options);
    world_command(&stage->world, DROP_COMMAND_EXEC, stage->pool->id, 0, 0, &exec_options,
                  sizeof exec_options);
    world_turn(&stage->world);
    PROCESSES_UNTIL(&processes, exec()->ready == 1);
    for (uint64_t id = 0; id < 5; id++) /* without a turn in between: four find none ready */
        world_ask(&stage->client, DROP_CALL, id, "p", "x");
    for (uint64_t id = 0; id < 5; id++)
        CHECK_EQUAL(processes_hear(&processes).code, DROP_OK);
    PROCESSES_UNTIL(&processes, exec()->ready == 8 && exec()->starting == 0);
    age_spares(10001);
    PROCESSES_UNTIL(&processes, exec()->ready == 7);
    age_spares(60000);
    PROCESSES_UNTIL(&processes, exec()->ready == 1);
    processes_close(&processes);
}

static void test_a_batch_has_processes_started(void)
{
    static const char batch[] = "\1\0\0\0x\1\0\0\0y\1\0\0\0z";
    processes_open(&processes, "cat", 0);
    world_command(&stage->world, DROP_COMMAND_PUBLISH, 7, stage->pool->id, 3, batch,
                  sizeof batch - 1);
    const struct drop_record *done = NULL;
    PROCESSES_UNTIL(&processes, (done = world_happening(&stage->world, DROP_PUBLISHED)) != NULL);
    CHECK_EQUAL(done->b, 3);
    PROCESSES_UNTIL(&processes, stage->pool->counters.answers == 3);
    processes_close(&processes);
}

/* It came before it was said how processes are started. */
static void test_a_batch_that_is_early(void)
{
    static const char batch[] = "\1\0\0\0x";
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    world_command(&stage->world, DROP_COMMAND_PUBLISH, 7, stage->pool->id, 1, batch,
                  sizeof batch - 1);
    world_turn(&stage->world);
    processes_configure(&processes, processes_recipe("cat"), 2, 0);
    world_turn(&stage->world);
    PROCESSES_UNTIL(&processes, stage->pool->counters.answers == 1);
    CHECK(told(DROP_PUBLISHED));
    processes_close(&processes);
}

/* ---- recipes ---- */

static void test_a_program_that_is_not_there(void)
{
    char *const argv[] = {"/no/such/program", NULL};
    struct drop_recipe_parameters parameters = script_parameters(argv);
    struct drop_recipe *recipe;
    processes_open(&processes, "cat", 0);
    REQUIRE(drop_recipe_create(&parameters, &recipe) == 0);
    processes_configure(&processes, recipe, 2, 0);
    call(1, "x");
    const struct drop_record *failed = NULL;
    PROCESSES_UNTIL(&processes,
                    (failed = world_happening(&stage->world, DROP_SPAWN_FAILED)) != NULL);
    CHECK_EQUAL(failed->b, ENOENT);
    CHECK(exec()->suspended);
    call(2, "x"); /* nothing is tried before it is said */
    CHECK_EQUAL(exec()->started, 1);
    stage_command(stage, DROP_COMMAND_EXEC_RESUME, stage->pool->id, 0);
    PROCESSES_UNTIL(&processes, told(DROP_SPAWN_FAILED));
    CHECK_EQUAL(exec()->started, 2);
    processes_configure(&processes, processes_recipe("cat"), 1, 0);
    CHECK_RESULT(&processes, 1, DROP_OK, "x");
    CHECK_RESULT(&processes, 2, DROP_OK, "x");
    processes_close(&processes);
}

static void test_it_is_told_when_it_works_again(void)
{
    char path[] = "/tmp/drop-test-exec-pool-XXXXXX";
    char *const argv[] = {path, NULL};
    struct drop_recipe_parameters parameters = script_parameters(argv);
    struct drop_recipe *recipe;
    REQUIRE(mkdtemp(path) && rmdir(path) == 0);
    REQUIRE(drop_recipe_create(&parameters, &recipe) == 0);
    processes_open(&processes, "cat", 0);
    processes_configure(&processes, recipe, 2, 0);
    call(1, "x");
    PROCESSES_UNTIL(&processes, told(DROP_SPAWN_FAILED));
    CHECK_EQUAL(symlink("/bin/cat", path), 0);
    world_ask(&stage->client, DROP_CANCEL, 1, "p", "");
    CHECK_RESULT(&processes, 1, DROP_CANCELLED, NULL);
    stage_command(stage, DROP_COMMAND_EXEC_RESUME, stage->pool->id, 0); /* also without a message */
    PROCESSES_UNTIL(&processes, told(DROP_SPAWN_WORKS));
    PROCESSES_UNTIL(&processes, stage->pool->worker_count == 0);
    call(2, "x");
    CHECK_RESULT(&processes, 2, DROP_OK, "x");
    CHECK(!told(DROP_SPAWN_WORKS));
    unlink(path);
    processes_close(&processes);
}

/* From the moment that the reactor reads of the new one; both come with one turn here. */
static void test_an_old_process_gets_nothing(void)
{
    static const char batch[] = "\1\0\0\0x";
    processes_open(&processes, "cat; echo old", 2);
    struct drop_pool *target = world_pool(&stage->world, "q", DROP_KIND_FRAME);
    world_subscribe(&stage->world, stage->pool, target, false, "");
    processes_configure(&processes, processes_recipe("cat; echo new"), 2, 2);
    world_command(&stage->world, DROP_COMMAND_PUBLISH, 7, stage->pool->id, 1, batch,
                  sizeof batch - 1);
    PROCESSES_UNTIL(&processes, target->mailbox.count == 1);
    CHECK_BYTES(target->mailbox.first->payload, target->mailbox.first->length, "xnew\n");
    processes_close(&processes);
}

/* The one that runs finishes, by the old recipe. */
static void test_an_old_process_finishes(void)
{
    processes_open(&processes, "read line; echo old; exec cat", 2);
    static char text[200000];
    static char frame[sizeof text + 64];
    memset(text, 'x', sizeof text);
    text[0] = '\n';
    size_t length = world_put(frame, DROP_CALL, 1, "p", text, sizeof text);
    for (size_t at = 0; at < length; world_turn(&stage->world))
        at += world_send(&stage->client, frame + at, length - at);
    processes_configure(&processes, processes_recipe("cat; echo new"), 1, 1);
    world_turn(&stage->world);
    call(2, "y");
    CHECK_EQUAL(exec()->at_most, 1);
    struct world_frame first = processes_hear(&processes);
    CHECK(first.id == 1 && first.code == DROP_OK && first.length == sizeof text - 1 + 4);
    CHECK(first.length > 4 && memcmp(first.body, "old\n", 4) == 0);
    CHECK_RESULT(&processes, 2, DROP_OK, "ynew\n");
    processes_close(&processes);
}

static void test_fewer_at_a_time(void)
{
    char fifo[64] = "/tmp/drop-test-exec-pool-XXXXXX", script[256];
    REQUIRE(mkdtemp(fifo) && rmdir(fifo) == 0 && mkfifo(fifo, 0600) == 0);
    snprintf(script, sizeof script, "cat > /dev/null; head -c 1 %s", fifo);
    int gate = open(fifo, O_RDWR | O_CLOEXEC);
    processes_open(&processes, script, 2);
    call(1, "x");
    call(2, "x");
    CHECK_EQUAL(exec()->running, 2);
    processes_configure(&processes, processes_recipe(script), 1, 2);
    call(3, "x");
    PROCESSES_UNTIL(&processes, exec()->ready == 2 && exec()->starting == 0);
    CHECK_EQUAL(exec()->running, 2); /* the third has to wait for both */
    CHECK_EQUAL(write(gate, "a", 1), 1);
    CHECK_EQUAL(processes_hear(&processes).code, DROP_OK);
    world_turn(&stage->world);
    CHECK_EQUAL(exec()->running, 1);
    CHECK_EQUAL(stage->pool->mailbox.count, 1);
    CHECK_EQUAL(write(gate, "bc", 2), 2);
    CHECK_EQUAL(processes_hear(&processes).code, DROP_OK);
    CHECK_RESULT(&processes, 3, DROP_OK, NULL);
    processes_close(&processes);
    close(gate);
    unlink(fifo);
}

int main(void)
{
    RUN(test_a_warm_call_starts_nothing);
    RUN(test_who_writes_at_once_is_not_kept_ready);
    RUN(test_who_wrote_and_is_dead_already);
    RUN(test_who_dies_at_that_moment);
    RUN(test_who_ends_at_once_is_tried_three_times);
    RUN(test_a_surplus_goes_with_time);
    RUN(test_a_batch_has_processes_started);
    RUN(test_a_batch_that_is_early);
    RUN(test_a_program_that_is_not_there);
    RUN(test_it_is_told_when_it_works_again);
    RUN(test_an_old_process_gets_nothing);
    RUN(test_an_old_process_finishes);
    RUN(test_fewer_at_a_time);
    return check_summary();
}
