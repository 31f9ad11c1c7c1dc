/* The state of one process of kind exec, and what it costs its pool. Inside of exec.h. */
#ifndef DROP_EXECUTION_H
#define DROP_EXECUTION_H

#include "reactor.h"
#include "reap.h"

enum drop_execution_state {
    DROP_EXECUTION_READY,
    DROP_EXECUTION_RUNNING,
    DROP_EXECUTION_ENDING, /* it owes nothing any more */
};

struct drop_execution {
    struct drop_source exit_source; /* its pidfd */
    struct drop_worker *worker;
    enum drop_execution_state state;
    uint64_t generation;
    uint64_t oom_kills; /* of its slot, before it */
    uint32_t slot;
    struct drop_exit exit;
    bool ended;  /* its stdout has, or nobody reads it any more */
    bool reaped;
    bool out_of_memory;
    bool parts; /* what it writes goes to its caller as it comes */
};

/* It was given its message. */
void drop_execution_runs(struct drop_worker *worker);
/* It has answered, failed, or is not needed: its place may be taken. More than once is allowed. */
void drop_execution_ends(struct drop_worker *worker);
/* It cannot be kept ready; the pool does without, at once or when it happens again. */
void drop_execution_not_spare(struct drop_worker *worker, const char *why);
/* Kills what is left of its group and slot, then takes its exit status. */
void drop_execution_reap(struct drop_worker *worker);
/* Asks the logger for the end of its stderr; drop_exec_tail gets it. */
void drop_execution_ask_tail(struct drop_worker *worker);
/* Frees it; a process that still runs is killed and buried elsewhere. */
void drop_execution_end(struct drop_worker *worker);

/* Lets the reactor hear of its exit. 0, or -1. (exec.c) */
int drop_exec_watch(struct drop_worker *worker);

#endif
