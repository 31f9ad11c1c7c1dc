/* The way back from a worker: from its stdout to whoever waits. Continues worker.h. */
#ifndef DROP_ANSWERS_H
#define DROP_ANSWERS_H

#include "worker.h"

/* Its stdout has something. */
void drop_worker_readable(struct drop_reactor *reactor, struct drop_source *source,
                          uint32_t events);
/* Goes on with what was read when there was no room for an answer. */
void drop_worker_resume(struct drop_reactor *reactor, struct drop_waiter *waiter);
/* Reads what is left in its stdout, then it is gone for `reason`; the head fails with `text`. */
void drop_worker_finish_reading(struct drop_worker *worker, const char *reason, const char *text);
/* Its timer: callers' deadlines and the function's timeout. */
void drop_worker_expire(struct drop_timer *timer, uint64_t now_ns);
/* Answers the caller now; what the worker says later is dropped. */
void drop_worker_abandon(struct drop_worker *worker, struct drop_ticket *ticket,
                         enum drop_status status, const char *text);
/* Abandons a call whose caller's time has run out. When that of one which goes on will, or
 * DROP_NEVER. */
uint64_t drop_worker_check_deadline(struct drop_worker *worker, struct drop_ticket *ticket,
                                    uint64_t now_ns);
/* Closes a draining worker that has answered everything. */
void drop_worker_check_drained(struct drop_worker *worker);

#endif
