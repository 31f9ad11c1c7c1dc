/* Which message a worker has, told by the reactor to the logger, so that a line of a log can name
 * the call that it belongs to.
 *
 * One writer (the reactor's thread), one reader (the logger's), no lock: `version` is odd while the
 * writer is at work, and a reader that sees it odd or changed reads again (a sequence lock). Stdout
 * and stderr are two pipes, so no exact order of answers and lines exists; what is certain is which
 * messages a worker had between two looks. A line read between them belongs to a message for
 * certain when that was the only one: drop_callmark_only.
 *
 * Made with two references, one for each side. */
#ifndef DROP_CALLMARK_H
#define DROP_CALLMARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct drop_callmark {
    _Atomic uint32_t references;
    _Atomic uint32_t version;
    _Atomic uint32_t running; /* messages that it has now */
    _Atomic uint64_t started; /* messages that it was ever given */
    _Atomic uint64_t last;    /* id of the one given last */
};

/* What the reader saw at one look. */
struct drop_callmark_look {
    uint32_t running;
    uint64_t started;
    uint64_t last;
};

/* NULL without memory. */
static inline struct drop_callmark *drop_callmark_create(void)
{
    struct drop_callmark *mark = calloc(1, sizeof *mark);
    if (mark)
        atomic_store_explicit(&mark->references, 2, memory_order_relaxed);
    return mark;
}

/* NULL is allowed. */
static inline void drop_callmark_release(struct drop_callmark *mark)
{
    if (mark && atomic_fetch_sub_explicit(&mark->references, 1, memory_order_acq_rel) == 1)
        free(mark);
}

static inline void drop_callmark_begin_write(struct drop_callmark *mark)
{
    uint32_t version = atomic_load_explicit(&mark->version, memory_order_relaxed);
    atomic_store_explicit(&mark->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static inline void drop_callmark_end_write(struct drop_callmark *mark)
{
    uint32_t version = atomic_load_explicit(&mark->version, memory_order_relaxed);
    atomic_store_explicit(&mark->version, version + 1, memory_order_release);
}

/* The worker was given the message `id`, and has `running` now. */
static inline void drop_callmark_given(struct drop_callmark *mark, uint64_t id, uint32_t running)
{
    uint64_t started = atomic_load_explicit(&mark->started, memory_order_relaxed);
    drop_callmark_begin_write(mark);
    atomic_store_explicit(&mark->last, id, memory_order_relaxed);
    atomic_store_explicit(&mark->started, started + 1, memory_order_relaxed);
    atomic_store_explicit(&mark->running, running, memory_order_relaxed);
    drop_callmark_end_write(mark);
}

/* It has answered; `running` are left. */
static inline void drop_callmark_answered(struct drop_callmark *mark, uint32_t running)
{
    drop_callmark_begin_write(mark);
    atomic_store_explicit(&mark->running, running, memory_order_relaxed);
    drop_callmark_end_write(mark);
}

static inline struct drop_callmark_look drop_callmark_read(const struct drop_callmark *mark)
{
    struct drop_callmark_look look;
    uint32_t before, after;
    do {
        before = atomic_load_explicit(&mark->version, memory_order_acquire);
        look.running = atomic_load_explicit(&mark->running, memory_order_relaxed);
        look.started = atomic_load_explicit(&mark->started, memory_order_relaxed);
        look.last = atomic_load_explicit(&mark->last, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&mark->version, memory_order_relaxed);
    } while (before != after || (before & 1));
    return look;
}

/* Whether exactly one message was running at some time between two looks; its id is written. */
static inline bool drop_callmark_only(const struct drop_callmark_look *before,
                                      const struct drop_callmark_look *now, uint64_t *id)
{
    uint64_t began = now->started - before->started;
    if (before->running + began != 1)
        return false;
    *id = now->last;
    return true;
}

#endif
