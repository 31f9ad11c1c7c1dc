/* Timers of one reactor: a binary heap of intrusive nodes, few of them (one per worker, pool and
 * connection).
 *
 * Nothing is armed per message. Whoever owns messages arms its timer at a lower bound of their
 * deadlines and never moves it later; when it fires too early, the owner looks for the true
 * minimum and arms again. A pool that is kept busy under a 10 s timeout touches the heap once in
 * 10 s. (The lazy timers of Varghese and Lauck 1987, with one bound per owner.) */
#ifndef DROP_TIMER_H
#define DROP_TIMER_H

#include <stdint.h>

#include "clock.h"
#include "limits.h"

struct drop_timer {
    uint64_t due_ns;
    uint32_t index; /* place in the heap, from 1; 0: not armed */
    void (*fire)(struct drop_timer *timer, uint64_t now_ns);
};

struct drop_timers {
    struct drop_timer **heap; /* from 1 */
    uint32_t count;
    uint32_t capacity;
};

void drop_timers_init(struct drop_timers *timers);
void drop_timers_close(struct drop_timers *timers);

/* Makes room for one more timer, so that arming never fails. 0, or -1 without memory. */
int drop_timers_register(struct drop_timers *timers);
void drop_timers_unregister(struct drop_timers *timers, struct drop_timer *timer);

/* Arms at `due_ns` unless it is armed earlier already. DROP_NEVER does nothing. */
void drop_timer_arm(struct drop_timers *timers, struct drop_timer *timer, uint64_t due_ns);
/* The same for what need not be exact: not before DROP_DEADLINE_GRAIN_NS have passed, so that many
 * deadlines are looked through that often at the most. */
static inline void drop_timer_arm_coarse(struct drop_timers *timers, struct drop_timer *timer,
                                         uint64_t due_ns, uint64_t now_ns)
{
    uint64_t earliest_ns = now_ns + DROP_DEADLINE_GRAIN_NS;
    drop_timer_arm(timers, timer, due_ns < earliest_ns ? earliest_ns : due_ns);
}
void drop_timer_disarm(struct drop_timers *timers, struct drop_timer *timer);

/* Fires what is due: each is disarmed first and may arm itself again. */
void drop_timers_run(struct drop_timers *timers, uint64_t now_ns);

static inline uint64_t drop_timers_next(const struct drop_timers *timers)
{
    return timers->count ? timers->heap[1]->due_ns : DROP_NEVER;
}

#endif
