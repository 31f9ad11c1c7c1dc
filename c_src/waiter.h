/* Waiting for room: a connection, a worker or a batch that holds a message for which a pool (or a
 * subscriber) has no room stops where it is and stands in that one's line.
 *
 * This is the whole of back-pressure: who stands in a line does not read its descriptor, so the
 * kernel's buffer fills and its peer blocks. A waiter stands in one line at a time. */
#ifndef DROP_WAITER_H
#define DROP_WAITER_H

#include <stdbool.h>
#include <stddef.h>

struct drop_reactor;
struct drop_waiter;

struct drop_waitlist {
    struct drop_waiter *first;
    struct drop_waiter *last;
    size_t count;
};

struct drop_waiter {
    struct drop_waitlist *list; /* NULL: waits for nothing */
    struct drop_waiter *next;
    struct drop_waiter *previous;
    void (*resume)(struct drop_reactor *reactor, struct drop_waiter *waiter);
};

static inline bool drop_waiter_waits(const struct drop_waiter *waiter)
{
    return waiter->list != NULL;
}

/* To the end of the line. Standing in one already is an error. */
void drop_waiter_join(struct drop_waiter *waiter, struct drop_waitlist *list);
void drop_waiter_leave(struct drop_waiter *waiter);

/* Resumes those who stand in line now, in order, while `has_room(owner)` says so; all of them when
 * it is NULL. A resumed one may join again. */
void drop_waitlist_serve(struct drop_reactor *reactor, struct drop_waitlist *list,
                     bool (*has_room)(const void *owner), const void *owner);

#endif
