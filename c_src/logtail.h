/* The end of what a worker wrote to stderr, for the error that tells of its end. Pure.
 *
 * It is kept as it came, and made fit to be quoted when it is asked for: whole lines, control
 * characters escaped as in the log. */
#ifndef DROP_LOGTAIL_H
#define DROP_LOGTAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "logsink.h"

struct drop_logtail {
    size_t length;
    bool is_cut;   /* there was more in front of it */
    bool is_whole; /* nothing comes behind it: what has no newline is a line, too */
    char bytes[DROP_LOGSINK_TAIL_MAX];
};

void drop_logtail_append(struct drop_logtail *tail, const char *bytes, size_t length);

/* The last lines that fit, each with its newline; the end of the last one when it does not fit.
 * Returns the length. */
size_t drop_logtail_text(const struct drop_logtail *tail, char out[DROP_LOGSINK_TAIL_MAX]);

#endif
