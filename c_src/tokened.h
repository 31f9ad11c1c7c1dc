/* Kind async: every message carries a token, and its answer names it, in any order.
 *
 *     stdin   TOKEN::message\n        stdout  TOKEN::answer\n
 *
 * A token is the number of a place in the worker's table and how often that place was used before,
 * in hexadecimal: so a token that comes twice, or after its time, finds its place taken by another
 * message or by none, and is never taken for it.
 *
 * What was written to the worker may have had its effect in any order, so there is no head that
 * alone fails: when the worker dies, everything that it was sent fails (or is retried, if the pool
 * retries); what has not been sent whole goes back to the mailbox. `outgoing` holds only that. */
#ifndef DROP_TOKENED_H
#define DROP_TOKENED_H

#include "worker.h"

struct drop_tokens;

/* bytes of "TOKEN::" at most */
#define DROP_TOKEN_PREFIX_MAX 18u

/* NULL without memory. */
struct drop_tokens *drop_tokens_create(void);
/* Nothing may be outstanding. */
void drop_tokens_destroy(struct drop_tokens *tokens);

/* Sends the message; 0, or -1 when the memory budget says no (nothing changes). */
int drop_tokened_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                      const char *payload, uint32_t length);
/* Forgets the bytes of messages that were written whole; `before` bytes were written earlier. */
void drop_tokened_written(struct drop_worker *worker, size_t before);
/* The worker is gone; see above. `text` is for those that fail. */
void drop_tokened_settle(struct drop_worker *worker, enum drop_status status, const char *text);
/* Abandons the call; false: the worker does not have it. */
bool drop_tokened_cancel(struct drop_worker *worker, struct drop_connection *connection,
                         uint64_t id);
/* Callers' deadlines and the function's timeout. One message that takes too long fails alone; a
 * worker that has answered nothing for the whole timeout, or not a question after its health, is
 * gone. */
void drop_tokened_expire(struct drop_worker *worker, uint64_t now_ns);

#endif
