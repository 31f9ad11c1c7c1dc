/* What the reactor asks of the logger, across the border between two extension modules: functions
 * that may be called from any thread. The logger fills this in and outlives who uses it. */
#ifndef DROP_LOGSINK_H
#define DROP_LOGSINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "callmark.h"

#define DROP_LOGSINK_CAPSULE "drop.log_sink" /* the name of the Python capsule that holds one */

/* bytes of the end of a worker's stderr that an error may quote */
#define DROP_LOGSINK_TAIL_MAX 2048u

/* Gets the end of what a worker wrote; called once, from the logger's thread, which it must not
 * keep. The bytes are the logger's. */
typedef void drop_logsink_reply(void *context, const char *bytes, size_t length);

struct drop_logsink {
    void *context;
    /* Gives it the reading end of a worker's stderr: 0, or an errno and the descriptor is still the
     * caller's. With `tail` the end of what is written is kept as long as the mark. *mark: one
     * reference is the caller's. */
    int (*add)(void *context, const char *pool, size_t pool_length, uint64_t worker, pid_t pid,
               int fd, bool tail, struct drop_callmark **mark);
    /* Reads on in that stream until there is nothing more now, then replies with its last whole
     * lines, control characters escaped as in the log; with nothing where none is kept. The mark
     * may be released at once. 0, or an errno, and then there will be no reply: EAGAIN (too many
     * are waiting), ESHUTDOWN. Who was told 0 gets a reply, at the latest when the logger stops. */
    int (*tail)(void *context, struct drop_callmark *mark, drop_logsink_reply *reply,
                void *reply_context);
};

#endif
