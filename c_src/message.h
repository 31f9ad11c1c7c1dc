/* A message that waits, and the ticket of every accepted message: what is owed, to whom, until
 * when.
 *
 * The payload of a message in a mailbox lives in its node; that of a message given to a worker
 * lives in the worker's outgoing bytes, and only its ticket is kept beside. A ticket with a
 * connection holds one count of its `outstanding` and ends in exactly one ANSWER. */
#ifndef DROP_MESSAGE_H
#define DROP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "memory.h"

struct drop_connection;

#define DROP_TICKET_BROADCAST 0x01u /* one copy for this worker only: never requeued */
#define DROP_TICKET_LATE 0x02u      /* its caller was told timeout or cancelled already */
#define DROP_TICKET_PROBE 0x04u     /* asks whether the worker is well: of no interest but to us */
#define DROP_TICKET_PARTS 0x08u     /* its caller takes the answer in parts, as they come */

struct drop_ticket {
    uint64_t id; /* the caller's, handed down to the events that it causes */
    struct drop_connection *connection; /* who waits for the answer; NULL: nobody */
    uint64_t accepted_ns;
    uint64_t deadline_ns; /* the caller's; DROP_NEVER: none */
    uint32_t length;      /* in a worker: bytes of its outgoing, framing included */
    uint16_t attempts;    /* workers that died with it at their head */
    uint16_t flags;
};

/* Whether another worker may be given it. */
static inline bool drop_ticket_is_wanted(const struct drop_ticket *ticket)
{
    return !(ticket->flags & (DROP_TICKET_BROADCAST | DROP_TICKET_LATE | DROP_TICKET_PROBE));
}

struct drop_message {
    struct drop_message *next;
    struct drop_ticket ticket;
    size_t capacity; /* of this block */
    char *payload;   /* in `content`, or in the block that `held` has taken over */
    uint32_t length;
    bool large; /* `held` is what counts */
    union {
        struct drop_buffer held;
        char content[sizeof(struct drop_buffer)]; /* and on behind it */
    };
};

/* First in, first out; one block per message. */
struct drop_queue {
    struct drop_message *first;
    struct drop_message **last;
    uint32_t count;
};

static inline void drop_queue_init(struct drop_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
    queue->count = 0;
}

/* A copy of the payload in a new node; NULL when the memory budget says no. Of a large one that is
 * in the block of `lender` (else NULL), the block is taken over. */
struct drop_message *drop_message_create(struct drop_memory *memory,
                                         const struct drop_ticket *ticket, const char *payload,
                                         uint32_t length, struct drop_buffer *lender);
void drop_message_destroy(struct drop_memory *memory, struct drop_message *message);

void drop_queue_push(struct drop_queue *queue, struct drop_message *message);
void drop_queue_push_front(struct drop_queue *queue, struct drop_message *message);
struct drop_message *drop_queue_pop(struct drop_queue *queue);
/* Takes out the message that `link` points to; `*link` is then the one behind it. */
struct drop_message *drop_queue_unlink(struct drop_queue *queue, struct drop_message **link);

#endif
