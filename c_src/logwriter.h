/* From pipes to pools' logs: what the logger's thread does, without the thread.
 *
 * A stream is one process's stderr. A read and its write are one step, so nobody reads faster than
 * the disk takes. What a worker writes over its rate is read all the same, counted and cut: a
 * worker that says too much is not stopped for it. One thread at a time. */
#ifndef DROP_LOGWRITER_H
#define DROP_LOGWRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "logcall.h"
#include "logline.h"
#include "lograte.h"
#include "logset.h"
#include "logtail.h"

/* bytes of one read: twice what a pipe holds by default, so that a burst empties it */
#define DROP_LOGWRITER_BURST (128u << 10)
/* bytes formatted before they are written: one burst of lines of more than 50 bytes is one write */
#define DROP_LOGWRITER_OUTPUT (256u << 10)

/* Zeroed but for the descriptor and the tag is valid. */
struct drop_logstream {
    struct drop_log *log; /* NULL until it has written something */
    int fd;               /* non-blocking; closed by its owner */
    bool keeps_tail;
    size_t pool_length; /* the tag begins with the pool's name */
    struct drop_logline_tag tag;
    struct drop_logcall call;
    struct drop_lograte rate;
    struct drop_logtail *tail; /* NULL until it has written something */
    size_t carried;            /* bytes of the line that has not ended yet */
    char *carry;
};

/* Zeroed is valid, once `directory` is set. */
struct drop_logwriter {
    struct drop_logfile_directory directory;
    uint32_t rate_lines;        /* lines a second of one stream; 0: no limit */
    _Atomic uint64_t truncated; /* times that a line was split; read by others */
    _Atomic uint64_t cut;       /* lines over the rate; read by others */
    struct drop_logset logs;
    int64_t upkeep_second;
    struct drop_logline_stamp stamp;
    uint64_t now; /* ns, monotonic */
    struct drop_logcall_view view;
    size_t output_length;
    char
        input[DROP_LOGLINE_TEXT_MAX + DROP_LOGWRITER_BURST]; /* a carry ends where a burst begins */
    char output[DROP_LOGWRITER_OUTPUT];
};

/* Reads once and writes what that completes. Returns the bytes read, 0 when there are none now, -1
 * at the end. */
ssize_t drop_logwriter_read(struct drop_logwriter *writer, struct drop_logstream *stream);

/* Whether the stream is to be looked after in a while, even when nothing comes from it: to report
 * what was cut, or to see that its call has ended. */
bool drop_logwriter_is_restless(const struct drop_logstream *stream);

/* Does that. As drop_logwriter_read. */
ssize_t drop_logwriter_settle(struct drop_logwriter *writer, struct drop_logstream *stream);

/* Writes a last line that has no newline and lets go of the log. The stream is not read again; its
 * tail is left. */
void drop_logwriter_end(struct drop_logwriter *writer, struct drop_logstream *stream);

/* Reports losses and closes what is not used, at most once a second. */
void drop_logwriter_upkeep(struct drop_logwriter *writer);

/* Opens all files by their names again, in a directory that may be another one. */
void drop_logwriter_reopen(struct drop_logwriter *writer);

/* Closes the logs, after a last attempt to report losses. All streams have ended. */
void drop_logwriter_close(struct drop_logwriter *writer);

#endif
