/* From pipes to pools' logs: what the logger's thread does, without the thread.
 *
 * A stream is one worker's stderr; streams of a pool share its log, which is opened when the first
 * of them has something to say and closed with the last. A read and its write are one step, so
 * nobody reads faster than the disk takes. One thread at a time. */
#ifndef DROP_LOGWRITER_H
#define DROP_LOGWRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "logfile.h"
#include "logline.h"

/* bytes of one read: what a pipe holds by default, so that a burst empties it */
#define DROP_LOGWRITER_BURST (64u << 10)
/* bytes formatted before they are written: one burst of lines of more than 50 bytes is one write */
#define DROP_LOGWRITER_OUTPUT (256u << 10)

struct drop_log; /* a pool's */

struct drop_logstream {
    struct drop_log *log; /* NULL until it has written something */
    int fd;               /* non-blocking; closed by its owner */
    size_t pool_length;   /* the tag begins with the pool's name */
    struct drop_logline_tag tag;
    size_t carried; /* bytes of the line that has not ended yet */
    char *carry;
};

/* Zeroed is valid, once `directory` is set. */
struct drop_logwriter {
    struct drop_logfile_directory directory;
    _Atomic uint64_t truncated; /* times that a line was split; read by others */
    struct drop_log *logs;
    int64_t reported_second;
    bool losing; /* some log has lost lines to report */
    struct drop_logline_stamp stamp;
    size_t output_length;
    char
        input[DROP_LOGLINE_TEXT_MAX + DROP_LOGWRITER_BURST]; /* a carry ends where a burst begins */
    char output[DROP_LOGWRITER_OUTPUT];
};

/* Reads once and writes what that completes. Returns the bytes read, 0 when there are none now, -1
 * at the end. */
ssize_t drop_logwriter_read(struct drop_logwriter *writer, struct drop_logstream *stream);

/* Writes a last line that has no newline and lets go of the log. The stream is not read again. */
void drop_logwriter_end(struct drop_logwriter *writer, struct drop_logstream *stream);

/* While `losing`: tries to report losses, at most once a second. A pool that has fallen silent has
 * no write of its own to report them with. */
void drop_logwriter_report_losses(struct drop_logwriter *writer);

/* Opens all files by their names again, in a directory that may be another one. */
void drop_logwriter_reopen(struct drop_logwriter *writer);

/* Closes the logs that are left, which have lost lines, after a last attempt to report them. All
 * streams have ended. */
void drop_logwriter_close(struct drop_logwriter *writer);

#endif
