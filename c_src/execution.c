/* See execution.h. */
#include "execution.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec.h"
#include "nursery.h"

/* Ready processes that may end by themselves in a row before none is kept ready: one can be a
 * victim of whatever kills processes, three are a habit. */
#define ENDED_EARLY_MAX 3u

void drop_execution_file_ready(struct drop_pool *pool)
{
    for (struct drop_worker *each = pool->workers; each; each = each->next_in_pool)
        if (each->execution->state == DROP_EXECUTION_READY)
            drop_pool_file_worker(pool, each);
}

void drop_execution_runs(struct drop_worker *worker)
{
    struct drop_exec *exec = worker->pool->exec;
    worker->execution->state = DROP_EXECUTION_RUNNING;
    worker->execution->counted = true;
    exec->ready--;
    if (++exec->running == exec->at_most)
        drop_execution_file_ready(worker->pool);
    drop_exec_touch(worker->pool);
}

/* One more may run. */
static void leave_place(struct drop_worker *worker)
{
    struct drop_exec *exec = worker->pool->exec;
    if (!worker->execution->counted)
        return;
    worker->execution->counted = false;
    if (exec->running-- == exec->at_most)
        drop_execution_file_ready(worker->pool);
}

void drop_execution_ends(struct drop_worker *worker)
{
    struct drop_exec *exec = worker->pool->exec;
    enum drop_execution_state before = worker->execution->state;
    worker->execution->state = DROP_EXECUTION_ENDING;
    if (before == DROP_EXECUTION_READY)
        exec->ready--;
    if (worker->execution->reaped) /* one that was killed takes its memory until it is dead */
        leave_place(worker);
    drop_pool_file_worker(worker->pool, worker);
    drop_exec_touch(worker->pool);
}

void drop_execution_not_spare(struct drop_worker *worker, const char *why, bool may)
{
    struct drop_pool *pool = worker->pool;
    if (!pool->exec->spares.most || worker->execution->generation != pool->exec->generation
        || (may && ++pool->exec->ended_early < ENDED_EARLY_MAX))
        return;
    pool->exec->spares.least = pool->exec->spares.most = pool->exec->spares.target = 0;
    drop_reactor_tell(pool->reactor, DROP_SPARES_OFF, pool->id, 0, 0, why, strlen(why));
}

static void kill_group(const struct drop_worker *worker)
{
    const struct drop_execution *execution = worker->execution;
    kill(-worker->pid, SIGKILL);
    if (drop_recipe_slots(execution->recipe))
        drop_recipe_kill_slot(execution->recipe, execution->slot);
}

void drop_execution_reap(struct drop_worker *worker)
{
    struct drop_execution *execution = worker->execution;
    kill_group(worker);
    execution->exit = drop_reap(execution->exit_source.fd, false);
    execution->out_of_memory =
        execution->exit.signalled && execution->exit.number == SIGKILL
        && drop_recipe_oom_kills(execution->recipe, execution->slot) > execution->oom_kills;
    execution->reaped = true;
    drop_reactor_unwatch(worker->reactor, &execution->exit_source);
    close(execution->exit_source.fd);
    execution->exit_source.fd = -1;
}

static void reply(void *context, const char *bytes, size_t length)
{
    struct drop_record *record = context;
    struct drop_channel *commands = (struct drop_channel *)(uintptr_t)record->b;
    record->length = length < DROP_LOGSINK_TAIL_MAX ? length : DROP_LOGSINK_TAIL_MAX;
    memcpy(record->bytes, bytes, record->length);
    drop_channel_send(commands, record);
}

void drop_execution_ask_tail(struct drop_worker *worker)
{
    const struct drop_logsink *logs = worker->reactor->options.logs;
    struct drop_record *record = NULL;
    if (logs && worker->mark)
        record = drop_record_create(DROP_COMMAND_TAIL, worker->id,
                                    (uintptr_t)&worker->reactor->commands, 0,
                                    DROP_LOGSINK_TAIL_MAX);
    if (record && logs->tail(logs->context, worker->mark, reply, record) == 0) {
        worker->execution->asked_ns = worker->reactor->now_ns;
        drop_timer_arm(&worker->reactor->timers, &worker->timer,
                       worker->reactor->now_ns + DROP_TAIL_NS);
        return;
    }
    free(record);
    drop_exec_tail(worker, "", 0);
}

void drop_execution_bury(struct drop_reactor *reactor, int pidfd)
{
    if (reactor->nursery && drop_nursery_bury(reactor->nursery, pidfd) == 0)
        return;
    drop_reap(pidfd, true);
    close(pidfd);
}

void drop_execution_end(struct drop_worker *worker)
{
    struct drop_execution *execution = worker->execution;
    struct drop_reactor *reactor = worker->reactor;
    struct drop_exec *exec = worker->pool->exec;
    drop_execution_ends(worker);
    if (!execution->reaped) {
        int pidfd = execution->exit_source.fd;
        kill_group(worker);
        drop_reactor_unwatch(reactor, &execution->exit_source);
        execution->exit_source.fd = -1;
        drop_execution_bury(reactor, pidfd);
    }
    leave_place(worker);
    drop_exec_free_slot(exec, execution->slot);
    /* An event of this turn may still name it: it is freed with the worker. */
    execution->worker = NULL;
    drop_exec_touch(worker->pool);
}

void drop_execution_free(struct drop_execution *execution)
{
    if (!execution)
        return;
    drop_recipe_release(execution->recipe);
    free(execution);
}
