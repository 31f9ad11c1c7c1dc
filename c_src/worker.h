/* A worker as the dataplane sees it: two pipes, the tickets of what it has, and the bytes it may
 * have to give back.
 *
 * What the kinds of functions differ in has a file each: ordered.h (line, frame), tokened.h
 * (async), emitted.c (stream), exec.h (exec).
 *
 * Invariants: tickets are in the order of the bytes in `outgoing`, which begins with the oldest
 * unanswered message; its first `written` bytes are in the pipe or read already. Bytes stay until
 * they are answered, so when the worker dies everything but the head returns to the mailbox. (Kind
 * async has a table instead of tickets in order, and keeps only what is not written.) */
#ifndef DROP_WORKER_H
#define DROP_WORKER_H

#include "buffer.h"
#include "callmark.h"
#include "message.h"
#include "source.h"
#include "status.h"
#include "timer.h"
#include "waiter.h"

struct drop_execution;
struct drop_health;
struct drop_pool;
struct drop_reactor;
struct drop_tokens;

#define DROP_LEVEL_NONE 0xffu

struct drop_worker {
    struct drop_source output; /* its stdout: what we read */
    struct drop_source input;  /* its stdin: watched only while it is full */
    struct drop_waiter waiter; /* for room where its next answer has to go */
    struct drop_reactor *reactor;
    struct drop_pool *pool;
    uint64_t id;
    pid_t pid; /* 0: not known, and not moved between CPUs */
    struct drop_ticket *tickets; /* a ring */
    uint32_t ticket_mask;
    uint32_t head; /* messages answered, and the oldest ticket; counts on, masked when used */
    uint32_t tail; /* messages given */
    struct drop_tokens *tokens;       /* kind async */
    struct drop_execution *execution; /* kind exec */
    struct drop_health *health;       /* while it is not ready, or is asked how it is */
    struct drop_callmark *mark;       /* for its log; NULL: nobody looks */
    struct drop_buffer outgoing;
    size_t written;
    struct drop_buffer inbox;
    size_t scanned; /* of the inbox: no line ends there */
    const char *ending; /* why it is to go once what it wrote is read; NULL: it is not */
    const char *ending_text;
    size_t needed;  /* bytes that make the next answer whole, when known */
    struct drop_queue own; /* broadcasts that wait for this worker */
    uint64_t answered; /* messages, in its life */
    uint64_t head_since_ns; /* since when the head is the one it works on */
    struct drop_timer timer;
    struct drop_worker *next_in_level;
    struct drop_worker *previous_in_level;
    struct drop_worker *next_in_pool;
    struct drop_worker *previous_in_pool;
    struct drop_worker *next_by_id;
    struct drop_worker *next_dirty;
    uint8_t level;
    bool dirty;
    bool gone;     /* closed; freed at the end of the turn */
    bool draining; /* nothing new */
    bool reading;  /* stdout is watched */
    bool writing;  /* stdin is watched: it is full */
    bool early;    /* answered before its message was written whole */
    bool unready;  /* its ready line has not come yet */
    bool ended;    /* its stdout has ended; how it died is not known yet */
    bool exited;   /* its process is known to be dead */
};

/* What a worker is made of; the descriptors and the reference to the mark pass to it. */
struct drop_worker_parts {
    int stdin_fd;
    int stdout_fd;
    pid_t pid; /* 0: not known */
    struct drop_callmark *mark;
    struct drop_execution *execution; /* kind exec */
    const char *ready; /* borrowed: the beginning of the line that says it is ready */
    uint32_t ready_length; /* 0: it is ready at once */
};

/* NULL without memory (the parts stay the caller's). */
struct drop_worker *drop_worker_create(struct drop_pool *pool, uint64_t id,
                                       const struct drop_worker_parts *parts);
/* Frees a worker that is gone. */
void drop_worker_destroy(struct drop_worker *worker);

static inline uint32_t drop_worker_inflight(const struct drop_worker *worker)
{
    return worker->tail - worker->head;
}

bool drop_worker_has_room(const struct drop_worker *worker);
/* The same for a message it was promised already: also while it drains. */
bool drop_worker_has_place(const struct drop_worker *worker);
/* Whether a broadcast finds a place with it or in its own queue. */
bool drop_worker_has_own_room(const struct drop_worker *worker);

/* Gives it a message; it must have room. 0, or -1 when the memory budget says no, or when the
 * message is large and has to wait until the worker has nothing else (nothing changes). */
int drop_worker_give(struct drop_worker *worker, const struct drop_ticket *ticket,
                     const char *payload, uint32_t length);
/* The same with a message that waited; what the worker does not take stays the caller's. */
int drop_worker_give_message(struct drop_worker *worker, struct drop_message *message);
/* Writes what it was given in this turn. */
void drop_worker_flush(struct drop_worker *worker);

/* For the kinds' own ways of giving: a place in `outgoing` for `before` bytes, the payload (`body`
 * bytes long: more than `length` when its newlines are encoded) and `behind` bytes. The payload is
 * there already. A large one is not copied, where it can be taken over. NULL: not now. */
char *drop_worker_frame(struct drop_worker *worker, const char *payload, uint32_t length,
                        size_t body, size_t before, size_t behind);
/* Gives it what waits for it alone. */
void drop_worker_feed_own(struct drop_worker *worker);
/* A message that its worker did not get, or did not finish, goes back to the front of the mailbox,
 * unless nobody wants it any more. */
void drop_worker_give_back(struct drop_worker *worker, struct drop_ticket *ticket,
                           const char *payload, uint32_t length);

/* Nothing new; when its answers are in, its stdin is closed and WORKER_DRAINED told. (One that is
 * sent nothing has its stdin closed, and what it still writes counts.) */
void drop_worker_drain(struct drop_worker *worker);
/* Its process is dead, and `how` says in words how it died: what is left in its stdout counts, then
 * it is gone. */
void drop_worker_exited(struct drop_worker *worker, const char *how);
/* Closes it now. `reason` is told to the control plane; the head fails with `status` and `text`
 * (or is retried when `status` is DROP_ERROR), the rest goes back to the mailbox. */
void drop_worker_gone(struct drop_worker *worker, const char *reason, enum drop_status status,
                      const char *text);
/* Abandons the call: its answer will be dropped. False: it does not have it. */
bool drop_worker_cancel(struct drop_worker *worker, struct drop_connection *connection,
                        uint64_t id);

#endif
