/* The processes of an exec pool as a whole: how they are started, and how many; see exec.h. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"
#include "execution.h"
#include "nursery.h"

void drop_exec_touch(struct drop_pool *pool)
{
    struct drop_exec *exec = pool->exec;
    if (!exec || exec->hungry)
        return;
    exec->hungry = true;
    exec->next_hungry = pool->reactor->hungry;
    pool->reactor->hungry = pool;
}

void drop_exec_missed(struct drop_pool *pool)
{
    struct drop_exec *exec = pool->exec;
    if (!exec)
        return;
    if (exec->running < exec->at_most && exec->spares.most)
        drop_spares_missed(&exec->spares, pool->reactor->now_ns);
    drop_exec_touch(pool);
}

/* Nothing is started until the control plane says so. */
static void suspend(struct drop_pool *pool, int error, unsigned step, const char *text)
{
    pool->exec->suspended = true;
    pool->exec->trial = false;
    drop_reactor_tell(pool->reactor, DROP_SPAWN_FAILED, pool->id, (uint64_t)error, step, text,
                      strlen(text));
}

/* The nursery is there from the first pool that needs it until the reactor stops. */
static void open_nursery(struct drop_pool *pool)
{
    struct drop_reactor *reactor = pool->reactor;
    if (reactor->nursery || reactor->stopping)
        return;
    reactor->nursery = drop_nursery_create(&reactor->commands, reactor->options.logs);
    if (!reactor->nursery)
        suspend(pool, errno, DROP_SPAWN_CLONE, "cannot start the thread that starts processes");
}

int drop_exec_configure(struct drop_pool *pool, const struct drop_exec_options *options)
{
    struct drop_exec *exec = pool->exec;
    struct drop_reactor *reactor = pool->reactor;
    assert(pool->options.kind == DROP_KIND_EXEC && options->at_most);
    if (!exec && !(exec = pool->exec = calloc(1, sizeof *exec))) {
        drop_recipe_release(options->recipe);
        return -1;
    }
    if (exec->recipe)
        drop_recipe_release(exec->recipe);
    exec->recipe = options->recipe;
    exec->generation++;
    exec->at_most = options->at_most;
    exec->ended_early = 0;
    exec->suspended = exec->trial = false;
    drop_spares_init(&exec->spares, options->spare_least, options->spare_most, reactor->now_ns);
    drop_execution_file_ready(pool); /* from here on those of the older recipe get nothing */
    open_nursery(pool);
    drop_exec_touch(pool);
    drop_pool_refill(pool); /* a batch may have waited for this */
    return 0;
}

void drop_exec_resume(struct drop_pool *pool)
{
    if (!pool->exec || !pool->exec->suspended)
        return;
    pool->exec->suspended = false;
    pool->exec->trial = true;
    open_nursery(pool);
    drop_exec_touch(pool);
}

bool drop_exec_is_busy(const struct drop_pool *pool)
{
    const struct drop_exec *exec = pool->exec;
    return !exec || pool->mailbox.count >= exec->at_most
           || pool->mailbox.count >= pool->options.queue;
}

void drop_exec_free(struct drop_pool *pool)
{
    struct drop_exec *exec = pool->exec;
    struct drop_pool **link = &pool->reactor->hungry;
    if (!exec)
        return;
    while (exec->hungry && *link != pool)
        link = &(*link)->exec->next_hungry;
    if (exec->hungry)
        *link = exec->next_hungry;
    drop_recipe_release(exec->recipe);
    free(exec);
    pool->exec = NULL;
}

/* A number that no process of the pool has; -1: all are taken. */
static int take_slot(struct drop_exec *exec)
{
    uint32_t count = drop_recipe_slots(exec->recipe);
    if (!count || count > DROP_EXEC_SLOTS_MAX)
        count = DROP_EXEC_SLOTS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = 1ull << i % 64;
        if (exec->slots[i / 64] & bit)
            continue;
        exec->slots[i / 64] |= bit;
        return (int)i;
    }
    return -1;
}

static bool start_one(struct drop_pool *pool)
{
    struct drop_exec *exec = pool->exec;
    int slot = take_slot(exec);
    if (slot < 0)
        return false;
    struct drop_conception conception = {
        .pool = pool->id,
        .worker = exec->started + 1,
        .generation = exec->generation,
        .slot = (uint32_t)slot,
        .recipe = exec->recipe,
        .name = pool->options.name,
        .name_length = pool->options.name_length,
    };
    drop_recipe_retain(exec->recipe);
    if (drop_nursery_start(pool->reactor->nursery, &conception)) {
        drop_recipe_release(exec->recipe);
        drop_exec_free_slot(exec, (uint32_t)slot);
        return false;
    }
    exec->started++;
    exec->starting++;
    return true;
}

/* Of the ready ones: those of an older recipe, and `surplus` of the others. */
static void end_ready_ones(struct drop_pool *pool, uint32_t surplus)
{
    struct drop_worker *next;
    for (struct drop_worker *each = pool->workers; each; each = next) {
        next = each->next_in_pool;
        if (each->execution->state != DROP_EXECUTION_READY)
            continue;
        bool old = each->execution->generation != pool->exec->generation;
        if (old || surplus)
            drop_worker_gone(each, "", DROP_ERROR, "");
        if (!old && surplus)
            surplus--;
    }
}

void drop_exec_tend(struct drop_pool *pool)
{
    struct drop_exec *exec = pool->exec;
    if (!pool->reactor->nursery)
        return; /* it stops */
    uint64_t relax_ns = drop_spares_relax(&exec->spares, pool->reactor->now_ns);
    if (relax_ns != UINT64_MAX)
        drop_timer_arm(&pool->reactor->timers, &pool->timer, relax_ns);
    struct drop_processes now = {exec->ready, exec->starting, exec->running, pool->mailbox.count,
                                 exec->at_most};
    bool draining = pool->draining || pool->reactor->draining;
    end_ready_ones(pool, draining ? 0 : drop_spares_surplus(&exec->spares, &now));
    now.ready = exec->ready;
    uint32_t wanted = drop_spares_wanted(&exec->spares, &now, draining);
    if (exec->suspended)
        wanted = 0;
    else if (exec->trial)
        wanted = exec->starting ? 0 : 1;
    while (wanted-- && start_one(pool))
        ;
}

static void dispose(struct drop_reactor *reactor, const struct drop_birth *birth)
{
    drop_callmark_release(birth->mark);
    if (birth->error) {
        drop_recipe_release(birth->recipe);
        return;
    }
    kill(-birth->pid, SIGKILL); /* before its stdin ends, which it might take for a message */
    if (drop_recipe_slots(birth->recipe))
        drop_recipe_kill_slot(birth->recipe, birth->slot);
    drop_recipe_release(birth->recipe);
    drop_execution_bury(reactor, birth->pidfd);
    close(birth->stdin_fd);
    close(birth->stdout_fd);
}

/* NULL without memory. */
static struct drop_worker *adopt(struct drop_pool *pool, const struct drop_birth *birth,
                                 uint64_t id)
{
    struct drop_execution *execution = calloc(1, sizeof *execution);
    struct drop_worker_parts parts = {
        .stdin_fd = birth->stdin_fd,
        .stdout_fd = birth->stdout_fd,
        .pid = birth->pid,
        .mark = birth->mark,
        .execution = execution,
    };
    if (!execution)
        return NULL;
    *execution = (struct drop_execution){
        .exit_source = {.fd = birth->pidfd},
        .state = DROP_EXECUTION_READY,
        .recipe = birth->recipe,
        .generation = birth->generation,
        .oom_kills = birth->oom_kills,
        .slot = birth->slot,
    };
    pool->exec->ready++;
    struct drop_worker *worker = drop_worker_create(pool, id, &parts);
    if (worker) {
        execution->worker = worker;
        if (drop_exec_watch(worker))
            drop_worker_gone(worker, "", DROP_ERROR, "");
        return worker;
    }
    pool->exec->ready--;
    free(execution);
    return NULL;
}

void drop_exec_born(struct drop_reactor *reactor, struct drop_pool *pool,
                    const struct drop_birth *birth, uint64_t id)
{
    struct drop_exec *exec = pool ? pool->exec : NULL;
    bool current = exec && exec->generation == birth->generation;
    if (exec) {
        exec->starting--;
        drop_exec_touch(pool);
    }
    if (current && !birth->error && adopt(pool, birth, id)) {
        if (exec->trial)
            drop_reactor_tell(reactor, DROP_SPAWN_WORKS, pool->id, 0, 0, NULL, 0);
        exec->trial = false;
        drop_pool_refill(pool);
        return;
    }
    dispose(reactor, birth);
    if (exec)
        drop_exec_free_slot(exec, birth->slot);
    if (!current || !birth->error)
        return;
    if (exec->suspended)
        return; /* told already, of one that was on its way at the same time */
    suspend(pool, birth->error, birth->step, drop_spawn_step_text(birth->step));
}
