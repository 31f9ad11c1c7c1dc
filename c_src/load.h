/* The load generator of `drop bench`: calls a pool as fast as it answers, over many connections.
 *
 * One thread, connected sockets whose WELCOME has been read, `depth` calls outstanding on each. An
 * answer is checked, its latency recorded and its slot called again; the calls of one recv(2) leave
 * in one send(2). Per message there is no syscall, no clock and no copy: all frames are alike, so
 * they lie encoded in the output ring and only the id of each is written. That id is the time of
 * sending and the slot, and must be the one outstanding in that slot: an answer that nobody asked
 * for, or a second one to the same call, ends the run.
 *
 * A call that is answered by an error rests before it is made again, and a bounded number of them
 * comes back at a time, so that a pool that refuses does not spin both sides. Latencies are of `ok`
 * answers only, from the queueing of the call to the recv that brought the end of its answer.
 *
 * Opening, naming and judging (addresses, HELLO, texts for people) are the caller's part.
 */
#ifndef DROP_LOAD_H
#define DROP_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

#define DROP_LOAD_DEPTH_MAX 65536u /* calls_max of the protocol; a slot is 16 bits of the id */
#define DROP_LOAD_TEXT_MAX 512u    /* bytes kept of a text that the node sent */
#define DROP_LOAD_STATUSES 256u    /* a status is one byte */

struct drop_load_plan {
    const int *fds; /* blocking sockets, borrowed until destroy; SO_RCVTIMEO may be changed */
    uint32_t connections;
    uint32_t depth; /* 1 to DROP_LOAD_DEPTH_MAX */
    const uint8_t *pool;
    uint8_t pool_length;
    const uint8_t *payload; /* copied */
    uint32_t payload_length;
    uint32_t timeout_ms; /* travels in each call */
    uint64_t warmup_ns;  /* not counted */
    uint64_t duration_ns;
    bool verify; /* an `ok` answer must carry the payload that was sent */
};

enum drop_load_end {
    DROP_LOAD_DONE,       /* the time is over, or drop_load_stop() was called */
    DROP_LOAD_CLOSED,     /* the node closed a connection */
    DROP_LOAD_GOAWAY,     /* it said why before: `status` and `text` */
    DROP_LOAD_UNEXPECTED, /* a frame that answers no outstanding call: `text` */
    DROP_LOAD_ALTERED,    /* verify: an answer is not the payload: `text` */
    DROP_LOAD_SYSTEM,     /* a syscall failed: `error` is its errno, `text` its name */
};

/* What was measured between the end of the warm-up and the end of the run. */
struct drop_load_result {
    enum drop_load_end end;
    int error;
    uint8_t status;
    char text[DROP_LOAD_TEXT_MAX]; /* ends with 0; also the text of the first error answer */
    uint64_t duration_ns;
    uint64_t messages; /* answered `ok` */
    uint64_t errors[DROP_LOAD_STATUSES];
    uint64_t unanswered; /* still outstanding a second after the last call was made */
    uint64_t reads;      /* recv(2) and send(2) calls that moved bytes */
    uint64_t writes;
    struct drop_histogram latency;
};

struct drop_load;

/* NULL with errno: no memory (it takes connections * depth * (payload + name + 28) bytes and some),
 * or a descriptor that is no socket. */
struct drop_load *drop_load_create(const struct drop_load_plan *plan);
void drop_load_destroy(struct drop_load *load);

/* Runs to the end; once per load. The result stays the load's own. */
const struct drop_load_result *drop_load_run(struct drop_load *load);

/* From any thread: end early, counting what was measured so far. */
void drop_load_stop(struct drop_load *load);

/* From any thread: answers so far, of every status, the warm-up's included. */
uint64_t drop_load_progress(const struct drop_load *load);

#endif
