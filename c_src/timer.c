/* The heap; see timer.h. */
#include "timer.h"

#include <assert.h>
#include <stdlib.h>

/* `capacity` counts registered owners, so the heap can never be full. */
void drop_timers_init(struct drop_timers *timers)
{
    *timers = (struct drop_timers){0};
}

void drop_timers_close(struct drop_timers *timers)
{
    assert(timers->count == 0 && timers->capacity == 0);
    free(timers->heap);
    timers->heap = NULL;
}

int drop_timers_register(struct drop_timers *timers)
{
    uint32_t capacity = timers->capacity + 1;
    if ((capacity & (capacity - 1)) == 0) { /* a power of two is reached: double */
        struct drop_timer **heap = realloc(timers->heap, 2u * (capacity + 1u) * sizeof *heap);
        if (!heap)
            return -1;
        timers->heap = heap;
    }
    timers->capacity = capacity;
    return 0;
}

void drop_timers_unregister(struct drop_timers *timers, struct drop_timer *timer)
{
    drop_timer_disarm(timers, timer);
    timers->capacity--;
}

static void place(struct drop_timers *timers, struct drop_timer *timer, uint32_t index)
{
    timers->heap[index] = timer;
    timer->index = index;
}

static void rise(struct drop_timers *timers, struct drop_timer *timer)
{
    uint32_t index = timer->index;
    for (; index > 1 && timers->heap[index / 2]->due_ns > timer->due_ns; index /= 2)
        place(timers, timers->heap[index / 2], index);
    place(timers, timer, index);
}

static void sink(struct drop_timers *timers, struct drop_timer *timer)
{
    uint32_t index = timer->index;
    for (;;) {
        uint32_t child = index * 2;
        if (child > timers->count)
            break;
        if (child < timers->count && timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
            child++;
        if (timers->heap[child]->due_ns >= timer->due_ns)
            break;
        place(timers, timers->heap[child], index);
        index = child;
    }
    place(timers, timer, index);
}

void drop_timer_arm(struct drop_timers *timers, struct drop_timer *timer, uint64_t due_ns)
{
    if (due_ns == DROP_NEVER || (timer->index && timer->due_ns <= due_ns))
        return;
    timer->due_ns = due_ns;
    if (!timer->index) {
        assert(timers->count < timers->capacity);
        timer->index = ++timers->count;
    }
    rise(timers, timer);
}

void drop_timer_disarm(struct drop_timers *timers, struct drop_timer *timer)
{
    if (!timer->index)
        return;
    struct drop_timer *last = timers->heap[timers->count--];
    if (last != timer) {
        place(timers, last, timer->index);
        rise(timers, last);
        sink(timers, last);
    }
    timer->index = 0;
}

void drop_timers_run(struct drop_timers *timers, uint64_t now_ns)
{
    while (timers->count && timers->heap[1]->due_ns <= now_ns) {
        struct drop_timer *timer = timers->heap[1];
        drop_timer_disarm(timers, timer);
        timer->fire(timer, now_ns);
    }
}
