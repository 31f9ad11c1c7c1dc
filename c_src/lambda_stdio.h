/* The node's side: frames (4 bytes of big-endian length, then the bytes) on stdin and stdout.
 *
 * One event at a time is taken from stdin; what the node has written ahead waits in the pipe. */
#ifndef DROP_LAMBDA_STDIO_H
#define DROP_LAMBDA_STDIO_H

#include "lambda_invocation.h"

struct drop_lambda_stdio {
    char prefix[DROP_LAMBDA_PREFIX];
    size_t prefix_length;
    uint64_t left;     /* bytes of the frame that are still to come */
    bool too_large;    /* they are thrown away */
    size_t written;    /* of the answer */
    struct drop_lambda_bytes ready; /* the line that says so, to be written ahead of answers */
    bool at_end;       /* of stdin */
};

/* Makes stdout not block where it is a pipe or socket. A terminal or file is shared with others,
 * whom a change of its flags would surprise. */
void drop_lambda_stdio_open(void);

/* stdin is readable and the invocation is free: reads; true when the invocation's `event` holds a
 * whole frame, or when there is one that is too large to take (too_large). */
bool drop_lambda_stdio_read(struct drop_lambda_stdio *stdio,
                            struct drop_lambda_invocation *invocation);

static inline bool drop_lambda_stdio_has_output(const struct drop_lambda_stdio *stdio,
                                                const struct drop_lambda_invocation *invocation)
{
    return stdio->ready.length || invocation->answer.length;
}

/* Writes what stdout takes. False: nobody reads it any more. */
bool drop_lambda_stdio_write(struct drop_lambda_stdio *stdio,
                             struct drop_lambda_invocation *invocation);

#endif
