/* Which message a worker has, told by the reactor to the logger, so that a line of a log can name
 * the call that it belongs to.
 *
 * Stdout and stderr are two pipes, and what the logger reads late must not be taken for the next
 * call's. So the reactor notes where in the worker's stderr a call begins: just before it gives a
 * message to a worker that has none, it adds up what the logger has taken and what is in the pipe.
 * What stands from there to the next such position was written while that call, and no other, was
 * with the worker. A second message given to a worker that has one begins a part of nobody.
 *
 * One writer for each half (the reactor's thread, the logger's thread), and neither waits for the
 * other: the parts are under a sequence lock (`version` is odd while the reactor writes, and who
 * reads looks again), the pipe is under a lock that the reactor only tries. Where it fails, the
 * part begins `vaguely`: somewhere from the position on.
 *
 * Made with two references, one for each side. */
#ifndef DROP_CALLMARK_H
#define DROP_CALLMARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* parts that are remembered: the calls of a worker between two turns of the logger, which are a
 * millisecond apart when it is busy */
#define DROP_CALLMARK_PARTS 64u
/* looks at a lock that the logger holds while it reads: about a microsecond, as long as a read */
#define DROP_CALLMARK_TRIES 256

/* Bytes of stderr that belong to one call, or to nobody. */
struct drop_callmark_part {
    _Atomic uint64_t from; /* position of the first byte * 2, + 1: vaguely */
    _Atomic uint64_t call; /* id of the message; 0: nobody's */
};

struct drop_callmark {
    _Atomic uint32_t references;

    /* the reactor's */
    _Atomic uint32_t version;
    _Atomic uint32_t running; /* messages that the worker has */
    _Atomic uint64_t begun;   /* parts, ever; the last of them is begun - 1 */
    struct drop_callmark_part parts[DROP_CALLMARK_PARTS]; /* part n at n % PARTS */

    /* the logger's */
    _Atomic uint32_t pipe;  /* lock: somebody looks into the pipe */
    int fd;                 /* under it: the pipe, -1 when it is closed */
    _Atomic uint64_t taken; /* bytes read from it; written under it */
    void *stream;           /* its thread's own: whose mark this is, NULL when that has ended */
    void *tail;             /* its thread's own: what it keeps of that; freed with the mark */
};

/* NULL without memory. */
static inline struct drop_callmark *drop_callmark_create(void)
{
    struct drop_callmark *mark = calloc(1, sizeof *mark);
    if (mark) {
        mark->fd = -1;
        atomic_store_explicit(&mark->references, 2, memory_order_relaxed);
    }
    return mark;
}

static inline void drop_callmark_retain(struct drop_callmark *mark)
{
    atomic_fetch_add_explicit(&mark->references, 1, memory_order_relaxed);
}

/* NULL is allowed. */
static inline void drop_callmark_release(struct drop_callmark *mark)
{
    if (mark && atomic_fetch_sub_explicit(&mark->references, 1, memory_order_acq_rel) == 1) {
        free(mark->tail);
        free(mark);
    }
}

static inline bool drop_callmark_try_pipe(struct drop_callmark *mark)
{
    uint32_t open = 0;
    return atomic_compare_exchange_strong_explicit(&mark->pipe, &open, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void drop_callmark_leave_pipe(struct drop_callmark *mark)
{
    atomic_store_explicit(&mark->pipe, 0, memory_order_release);
}

/* Bytes that the worker has written so far, * 2; + 1 when it may be more. */
static inline uint64_t drop_callmark_written(struct drop_callmark *mark)
{
    for (int i = 0; i < DROP_CALLMARK_TRIES; i++) {
        if (atomic_load_explicit(&mark->pipe, memory_order_relaxed) != 0 ||
            !drop_callmark_try_pipe(mark))
            continue;
        int waiting = 0;
        bool is_known = mark->fd >= 0 && ioctl(mark->fd, FIONREAD, &waiting) == 0;
        uint64_t taken = atomic_load_explicit(&mark->taken, memory_order_relaxed);
        drop_callmark_leave_pipe(mark);
        return (taken + (uint64_t)waiting) * 2 + !is_known;
    }
    return atomic_load_explicit(&mark->taken, memory_order_relaxed) * 2 + 1;
}

/* The part before the one to begin; one of nobody when there is none. */
static inline uint64_t drop_callmark_last(const struct drop_callmark *mark, uint64_t begun,
                                          uint64_t *from)
{
    const struct drop_callmark_part *last = &mark->parts[(begun - 1) % DROP_CALLMARK_PARTS];
    *from = begun ? atomic_load_explicit(&last->from, memory_order_relaxed) : 0;
    return begun ? atomic_load_explicit(&last->call, memory_order_relaxed) : 0;
}

/* Releasing stores behind the odd version, which a reader loads acquiring before it looks at the
 * version again: what it sees of them, it sees the version of. */
static inline void drop_callmark_begin_part(struct drop_callmark *mark, uint64_t from,
                                            uint64_t call, uint32_t running)
{
    uint32_t version = atomic_load_explicit(&mark->version, memory_order_relaxed);
    uint64_t begun = atomic_load_explicit(&mark->begun, memory_order_relaxed);
    struct drop_callmark_part *part = &mark->parts[begun % DROP_CALLMARK_PARTS];
    atomic_store_explicit(&mark->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&part->from, from, memory_order_release);
    atomic_store_explicit(&part->call, call, memory_order_release);
    atomic_store_explicit(&mark->begun, begun + 1, memory_order_release);
    atomic_store_explicit(&mark->running, running, memory_order_release);
    atomic_store_explicit(&mark->version, version + 2, memory_order_release);
}

/* The worker is about to be given the message `id` (0: it has none), before it can see it, and has
 * `running` then. One system call when it is the only one, and none else: of what a worker has
 * written before it gets a second one, what was not read yet is nobody's. */
static inline void drop_callmark_given(struct drop_callmark *mark, uint64_t id, uint32_t running)
{
    uint64_t from, last_from;
    uint64_t begun = atomic_load_explicit(&mark->begun, memory_order_relaxed);
    uint64_t last = drop_callmark_last(mark, begun, &last_from);
    uint64_t call = running == 1 ? id : 0;
    if (call == 0 && last == 0) {
        atomic_store_explicit(&mark->running, running, memory_order_release);
        return;
    }
    if (running == 1)
        from = drop_callmark_written(mark);
    else
        from = atomic_load_explicit(&mark->taken, memory_order_relaxed) * 2 + 1;
    drop_callmark_begin_part(mark, from > last_from ? from : last_from | (from & 1), call, running);
}

/* It has answered; `running` are left. */
static inline void drop_callmark_answered(struct drop_callmark *mark, uint32_t running)
{
    atomic_store_explicit(&mark->running, running, memory_order_release);
}

#endif
