/* Lines of waiters; see waiter.h. */
#include "waiter.h"

#include <assert.h>

void drop_waiter_join(struct drop_waiter *waiter, struct drop_waitlist *list)
{
    assert(!waiter->list);
    waiter->list = list;
    waiter->next = NULL;
    waiter->previous = list->last;
    if (list->last)
        list->last->next = waiter;
    else
        list->first = waiter;
    list->last = waiter;
    list->count++;
}

void drop_waiter_leave(struct drop_waiter *waiter)
{
    struct drop_waitlist *list = waiter->list;
    if (!list)
        return;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        list->first = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else
        list->last = waiter->previous;
    waiter->list = NULL;
    list->count--;
}

void drop_waitlist_serve(struct drop_reactor *reactor, struct drop_waitlist *list,
                     bool (*has_room)(const void *owner), const void *owner)
{
    /* Counted beforehand: one that joins again gets its next chance at the next room, and the
     * loop ends. */
    for (size_t turns = list->count; turns && list->first; turns--) {
        if (has_room && !has_room(owner))
            return;
        struct drop_waiter *waiter = list->first;
        drop_waiter_leave(waiter);
        waiter->resume(reactor, waiter);
    }
}
