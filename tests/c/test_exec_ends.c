/* The end of an exec pool with all it has, of the reactor, and of the thread that starts processes;
 * nothing is left of any. */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "nursery.h"
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

static void test_the_pool_goes_with_all_it_has(void)
{
    processes_open(&processes, "cat; exec sleep 1000", 2);
    call(1, "runs");
    call(2, "runs");
    call(3, "waits");
    PROCESSES_UNTIL(&processes, exec()->running == 2);
    CHECK(exec()->ready + exec()->starting > 0);
    stage_command(stage, DROP_COMMAND_POOL_REMOVE, stage->pool->id, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(processes_hear(&processes).code, DROP_DRAINING);
    CHECK_EQUAL(stage->world.reactor->worker_count, 0);
    CHECK(!stage->world.reactor->hungry);
    processes_close(&processes);
}

/* They come out of the nursery when nobody wants them any more. */
static void test_births_that_come_too_late(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("cat"), 8, 8);
    world_command(&stage->world, DROP_COMMAND_STATISTICS, 1, 0, 0, NULL, 0);
    drop_reactor_turn(stage->world.reactor);
    CHECK(exec()->starting > 0);
    stage_command(stage, DROP_COMMAND_POOL_REMOVE, stage->pool->id, 0);
    processes_close(&processes);
}

static void test_the_reactor_stops_with_births_under_way(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("cat"), 8, 8);
    drop_reactor_turn(stage->world.reactor);
    CHECK(exec()->starting > 0);
    processes_close(&processes);
}

static void test_a_command_behind_the_end(void)
{
    processes_open(&processes, "cat", 1);
    processes_configure(&processes, processes_recipe("cat"), 8, 8);
    drop_reactor_stop(stage->world.reactor);
    CHECK(stage->world.reactor->nursery == NULL);
    processes_close(&processes);
}

static void test_pools_of_other_kinds(void)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_LINE);
    struct drop_reactor_options options = world_options();
    processes_open_with(&processes, &pool_options, &options);
    processes_configure(&processes, processes_recipe("cat"), 1, 1);
    stage_command(stage, DROP_COMMAND_EXEC_RESUME, stage->pool->id, 0);
    CHECK(stage->pool->exec == NULL);
    processes_close(&processes);
}

static void test_a_drained_pool_does_what_waits(void)
{
    processes_open(&processes, "cat", 0);
    for (uint64_t id = 1; id <= 5; id++)
        world_ask(&stage->client, DROP_CALL, id, "p", "x");
    drop_reactor_turn(stage->world.reactor);
    stage_command(stage, DROP_COMMAND_POOL_DRAIN, stage->pool->id, 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(processes_hear(&processes).code, DROP_OK);
    PROCESSES_UNTIL(&processes, world_happening(&stage->world, DROP_POOL_DRAINED));
    CHECK_EQUAL(exec()->started, 5);
    processes_close(&processes);
}

/* One that takes its time to die does not keep the others from being born. */
static void test_a_slow_death_stops_nobody(void)
{
    processes_open(&processes, "cat", 0);
    call(1, "x");
    CHECK_RESULT(&processes, 1, DROP_OK, "x");
    pid_t slow = fork();
    if (slow == 0) {
        alarm(PROCESSES_SECONDS_MAX);
        pause();
        _exit(0);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, slow, 0);
    REQUIRE(pidfd >= 0);
    CHECK_EQUAL(drop_nursery_bury(stage->world.reactor->nursery, pidfd), 0);
    call(2, "y");
    CHECK_RESULT(&processes, 2, DROP_OK, "y");
    kill(slow, SIGKILL);
    processes_close(&processes);
}

int main(void)
{
    RUN(test_the_pool_goes_with_all_it_has);
    RUN(test_births_that_come_too_late);
    RUN(test_the_reactor_stops_with_births_under_way);
    RUN(test_a_command_behind_the_end);
    RUN(test_pools_of_other_kinds);
    RUN(test_a_drained_pool_does_what_waits);
    RUN(test_a_slow_death_stops_nobody);
    return check_summary();
}
