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

/* How long the logger has to say how its stderr ended; the error goes without then. */
#define DROP_TAIL_NS (1000 * DROP_NS_PER_MS)

struct drop_execution {
    struct drop_source exit_source; /* its pidfd */
    struct drop_worker *worker;
    enum drop_execution_state state;
    struct drop_recipe *recipe; /* by which it was started: a reference */
    uint64_t generation;        /* of the recipe */
    uint64_t oom_kills; /* of its slot, before it */
    uint32_t slot;
    struct drop_exit exit;
    uint64_t waits_since_ns; /* for room where its answer has to go; that time is not its own */
    uint64_t asked_ns; /* when the logger was asked for the end of its stderr; 0: it was not */
    bool counted;  /* it is one of the at_most: from its message on, until it is dead */
    bool in_parts; /* what it writes goes to its caller as it comes */
    bool unread;   /* it took not a byte of its message */
    bool wrote;    /* something */
    bool ended;    /* its stdout has, or nobody reads it any more */
    bool reaped;
    bool out_of_memory;
};

/* It was given its message. */
void drop_execution_runs(struct drop_worker *worker);
/* It has answered, failed, or is not needed. More than once is allowed. */
void drop_execution_ends(struct drop_worker *worker);
/* It was ready, and wrote or ended. The pool does without ready ones, at once or, when they `may`
 * for once, if it has become a habit. */
void drop_execution_not_spare(struct drop_worker *worker, const char *why, bool may);
/* Kills what is left of its group and slot, then takes its exit status. */
void drop_execution_reap(struct drop_worker *worker);
/* Asks the logger for the end of its stderr; drop_exec_tail gets it. */
void drop_execution_ask_tail(struct drop_worker *worker);
/* Gives the pidfd of a process that was killed to the nursery, to reap and to close; does it itself
 * when there is none any more, or no memory to ask it. */
void drop_execution_bury(struct drop_reactor *reactor, int pidfd);
/* Its worker is gone: a process that still runs is killed and buried elsewhere. */
void drop_execution_end(struct drop_worker *worker);
/* NULL is allowed. */
void drop_execution_free(struct drop_execution *execution);

/* Those that are ready can be given a message or not, all at once. */
void drop_execution_file_ready(struct drop_pool *pool);

/* Lets the reactor hear of its exit. 0, or -1. (exec.c) */
int drop_exec_watch(struct drop_worker *worker);

#endif
