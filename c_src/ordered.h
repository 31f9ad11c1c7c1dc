/* Kinds line and frame: answers come in the order of the messages. Continues worker.h.
 *
 * The bytes of a message stay in `outgoing` until it is answered, so that all but the head of a
 * worker that dies can be given to another one. */
#ifndef DROP_ORDERED_H
#define DROP_ORDERED_H

#include "worker.h"

/* Appends the message; 0, or -1 when the memory budget says no (nothing changes). */
int drop_ordered_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                      const char *payload, uint32_t length);
/* The worker is gone: its head fails (or is retried), the rest goes back to the mailbox. */
void drop_ordered_settle(struct drop_worker *worker, enum drop_status status, const char *text);

#endif
