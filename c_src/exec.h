/* Kind exec: one process per message. The payload is its stdin, then comes the end of file; what it
 * writes until it exits is the answer; an exit code other than 0 is an error. Continues worker.h.
 *
 * A worker of an exec pool is one process and gets one message. Processes are started ahead by the
 * nursery and wait on their stdin, so that a call to a warm function has no fork on its path:
 *
 *     born -> READY -give-> RUNNING -exit-> (answer) -> gone
 *                              |-timeout, too much output, removed-> ENDING (killed) -exit-> gone
 *
 * A function that acts before it reads cannot be kept ready. One that writes while it is READY, or
 * several in a row that end then, switch this off for their pool: from then on each process is
 * started for a message that waits.
 *
 * The process group is killed before its leader is reaped, for only until then is the group's
 * number certain to be its own. */
#ifndef DROP_EXEC_H
#define DROP_EXEC_H

#include "recipe.h"
#include "spares.h"
#include "worker.h"

struct drop_birth;

/* processes of one pool, ready ones included */
#define DROP_EXEC_SLOTS_MAX 1152u

/* Bytes of an EXEC command: how the processes of a pool are started. */
struct drop_exec_options {
    struct drop_recipe *recipe; /* a reference, which passes */
    uint32_t at_most;           /* processes that have a message at a time, 1 and more */
    uint32_t spare_least;       /* kept ready whatever happens */
    uint32_t spare_most;        /* 0: none */
};

/* What an exec pool has besides. */
struct drop_exec {
    struct drop_recipe *recipe;
    uint64_t generation; /* of the recipe: processes of an older one are not given messages */
    struct drop_spares spares;
    uint32_t at_most;
    uint32_t ready;
    uint32_t starting;
    uint32_t running;
    uint32_t ended_early; /* ready ones that ended by themselves, in a row */
    uint64_t started;     /* in all */
    bool suspended;       /* the last start failed; the control plane says when to try again */
    bool trial;           /* it has said so: one is started, needed or not */
    bool hungry;          /* on the reactor's list of pools that may need processes */
    uint64_t slots[DROP_EXEC_SLOTS_MAX / 64]; /* bits: taken */
    struct drop_pool *next_hungry;
};

/* Sets or replaces how processes are started; those that wait for a message are replaced. 0, or -1
 * without memory (nothing changes). Takes the reference. */
int drop_exec_configure(struct drop_pool *pool, const struct drop_exec_options *options);
/* Tries to start processes again after one could not be. */
void drop_exec_resume(struct drop_pool *pool);
/* Whether whoever brings messages has to wait. Processes are started for messages that wait, so it
 * is not the lack of a free one. */
bool drop_exec_is_busy(const struct drop_pool *pool);
/* Of a pool that goes. */
void drop_exec_free(struct drop_pool *pool);
/* The next process may have this number. */
static inline void drop_exec_free_slot(struct drop_exec *exec, uint32_t slot)
{
    exec->slots[slot / 64] &= ~(1ull << slot % 64);
}
/* Has it looked after at the end of the turn; for any pool. */
void drop_exec_touch(struct drop_pool *pool);
/* A message waits, for no process was ready. */
void drop_exec_missed(struct drop_pool *pool);
/* Starts what is wanted, ends what is too much. */
void drop_exec_tend(struct drop_pool *pool);
/* A process was started, or could not be; `pool` NULL: it is not needed any more. */
void drop_exec_born(struct drop_reactor *reactor, struct drop_pool *pool,
                    const struct drop_birth *birth, uint64_t id);

/* The parts of a worker's life that are different for a process. */
int drop_exec_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                   const char *payload, uint32_t length);
void drop_exec_written(struct drop_worker *worker);
void drop_exec_readable(struct drop_worker *worker);
/* It waits for room until now: that time does not count for the function's timeout. */
void drop_exec_waited(struct drop_worker *worker, uint64_t now_ns);
/* There is room for its answer, or for the next part of it. */
void drop_exec_go_on(struct drop_worker *worker);
void drop_exec_expire(struct drop_worker *worker, uint64_t now_ns);
/* The end of its stderr, for the error that its caller gets. */
void drop_exec_tail(struct drop_worker *worker, const char *bytes, size_t length);
/* It goes: whoever still waits for it is told, its process is killed if it runs. */
void drop_exec_settle(struct drop_worker *worker, enum drop_status status, const char *text);
/* Whether it may be given a message. */
bool drop_exec_is_free(const struct drop_worker *worker);

#endif
