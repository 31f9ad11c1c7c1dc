/* Is a worker ready, and is it still well: the line by which it says that it is ready, and the
 * question that an idle one is asked. Continues worker.h. */
#ifndef DROP_HEALTH_H
#define DROP_HEALTH_H

#include "worker.h"

struct drop_answer;

/* A worker that has not said yet that it is ready, or is being asked whether it is well. */
struct drop_health {
    uint32_t ready_length; /* 0: it is ready */
    uint32_t expect_length;
    bool any; /* every answer to the question is good */
    char text[]; /* the beginning of the ready line, or the answer that is expected */
};

/* Nothing is given to it before a line that begins with `text` comes. 0, or -1 without memory. */
int drop_health_await(struct drop_worker *worker, const char *text, uint32_t length);
/* Looks for the ready line in what it wrote: the bytes used, 0 while there is no whole line. False
 * in `*good`: it wrote something else. */
size_t drop_health_ready(struct drop_worker *worker, const char *bytes, size_t length, bool *good);

/* Asks an idle worker; WORKER_HEALTH tells how it went. `expect` NULL: any answer is good. */
void drop_health_probe(struct drop_worker *worker, const char *payload, uint32_t length,
                       const char *expect, uint32_t expect_length);
/* It has answered the question. */
void drop_health_answered(struct drop_worker *worker, const struct drop_answer *answer);

#endif
