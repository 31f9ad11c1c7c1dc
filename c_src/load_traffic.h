/* The traffic of a load: queueing and sending calls, reading and checking answers. Only load.c
 * includes this.
 *
 * Bodies are consumed as they come, so that an answer may be of any size while one receive buffer
 * serves all connections and stays in the cache. */
#ifndef DROP_LOAD_TRAFFIC_H
#define DROP_LOAD_TRAFFIC_H

#include <stdatomic.h>

#include "clock.h"
#include "load.h"

#define DROP_LOAD_HEADER 16u
#define DROP_LOAD_CALL_OVERHEAD (DROP_LOAD_HEADER + 4u) /* a call without name and payload */
#define DROP_LOAD_RECEIVE_SIZE (256u << 10) /* taken by one recv(2); fits the L2 cache */
#define DROP_LOAD_REST_MS 10 /* how often calls that were answered by an error are made again */

enum drop_load_phase {
    DROP_LOAD_WARMING,
    DROP_LOAD_MEASURING,
    DROP_LOAD_DRAINING, /* no new calls; the last answers are awaited */
    DROP_LOAD_FINISHED,
};

struct drop_load_connection {
    int fd;
    bool wants_writable;
    uint8_t *out;     /* ring of `depth` encoded calls: all can wait in it at once */
    size_t out_sent;  /* where the first unsent byte lies */
    size_t out_left;  /* bytes queued behind it */
    uint64_t *calls;  /* by slot: the id outstanding, or (resting) the next resting slot + 1 */
    uint64_t resting; /* first slot that rests after an error, + 1; 0: none */
    struct drop_load_connection *resting_next;
    /* the frame that a recv(2) has cut in two */
    uint32_t header_length;
    uint32_t body_taken;
    uint8_t header[DROP_LOAD_HEADER];
};

struct drop_load {
    struct drop_load_plan plan;
    struct drop_load_connection *connections;
    const uint8_t *payload; /* borrowed from the first ring */
    uint8_t *receive;
    size_t frame_length;
    size_t ring_length;
    int epoll; /* -1 with a single connection, which needs none */
    enum drop_load_phase phase;
    uint64_t origin;   /* of `now`: before the start, so that no id is as small as a slot */
    uint64_t now;      /* ns since `origin`, taken once per recv(2) */
    uint64_t started;  /* when the measured part began */
    uint64_t deadline; /* end of the phase */
    uint64_t outstanding;
    struct drop_load_connection *resting; /* connections with resting slots */
    uint64_t wake_at;
    uint64_t answers;
    struct drop_load_result result;
    _Atomic uint64_t progress;
    _Atomic bool stop;
};

static inline void drop_load_read_clock(struct drop_load *load)
{
    load->now = drop_clock_ns() - load->origin;
}

/* Memory and the encoded calls of one connection; -1 when there is no memory. */
int drop_load_connection_init(struct drop_load *load, struct drop_load_connection *connection,
                              int fd);
void drop_load_connection_close(struct drop_load_connection *connection);

/* The others return 0, or -1 when the run is over: `result` says why. */

/* Notes why the run ends; always -1. */
int drop_load_fail(struct drop_load *load, enum drop_load_end end, int error, const char *text);

/* Queues the first calls of a connection, one for each slot, and sends them. */
int drop_load_start(struct drop_load *load, struct drop_load_connection *connection);

/* Sends what is queued, as far as the socket takes it. */
int drop_load_flush(struct drop_load *load, struct drop_load_connection *connection);

/* Reads once, takes the answers and sends the calls that follow from them. */
int drop_load_receive(struct drop_load *load, struct drop_load_connection *connection, int flags);

/* Makes calls again that have rested long enough. */
int drop_load_wake(struct drop_load *load);

#endif
