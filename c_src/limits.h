/* Every fixed limit of the dataplane, with its unit and reason. Limits that an operator may
 * change are fields of drop_reactor_options; here are their defaults and the ones that only a
 * release changes. */
#ifndef DROP_LIMITS_H
#define DROP_LIMITS_H

/* bytes of a pool's name; it is the `code` field of a frame, and a file name of its log */
#define DROP_NAME_MAX 128u
/* bytes of a filter: it is searched in every event, so it stays short */
#define DROP_FILTER_MAX 1024u
/* bytes of the body of a frame that carries no payload */
#define DROP_SMALL_BODY_MAX 4096u
/* bytes that a PING may carry */
#define DROP_PING_MAX 64u
/* bytes of a token in HELLO */
#define DROP_TOKEN_MAX 1024u
/* outstanding messages of one worker: its tickets (40 B each) stay in the L2 cache */
#define DROP_INFLIGHT_MAX 1024u
/* messages waiting in one mailbox, whatever the flow says */
#define DROP_QUEUE_MAX 1000000u
/* bytes given to one worker ahead of its answers; one larger message passes when nothing else is
 * out */
#define DROP_WORKER_OUTGOING_MAX (256u << 10)
/* bytes read by one read(2) and parsed in place; also what one connection gets of a turn. Bigger
 * messages are read into a buffer of their own size. (Fuzzing makes it small, so that small inputs
 * come to what large ones do.) */
#ifndef DROP_SCRATCH_SIZE
#define DROP_SCRATCH_SIZE (256u << 10)
#endif
/* bytes of the beginning of a message that are copied to the scratch, for the rest to be read
 * behind them; behind a longer one the rest is read where it is */
#define DROP_CARRIED_MAX (DROP_SCRATCH_SIZE / 4)
/* a message or answer larger than this keeps the block that it was received in, all the way */
#define DROP_LARGE DROP_SCRATCH_SIZE
/* output that a client has not read: from here on the node stops reading from it ... */
#define DROP_OUTPUT_HIGH (1u << 20)
/* ... until this much is left ... */
#define DROP_OUTPUT_LOW (256u << 10)
/* ... from this much on, or a quarter of the node's budget if that is more, large answers are
 * replaced by `overloaded`, and at this much on top of it the client is cut */
#define DROP_OUTPUT_MAX (64u << 20)
/* subscriptions of one connection */
#define DROP_SUBSCRIPTIONS_MAX 1024u
/* time a new connection has to say HELLO, ns */
#define DROP_HELLO_NS 10000000000ull
/* events taken from epoll in one turn */
#define DROP_EVENTS_MAX 256
/* connections accepted in one turn of one listener: accepting must not starve the accepted */
#define DROP_ACCEPTS_MAX 64
/* after which a message for a free worker is tried again when memory was short, ns */
#define DROP_MEMORY_RETRY_NS 10000000ull
/* between two looks through the deadlines of a pool's or worker's messages, ns */
#define DROP_DEADLINE_GRAIN_NS 5000000ull
/* free blocks kept for reuse, bytes */
#define DROP_MEMORY_CACHE (16u << 20)

#endif
