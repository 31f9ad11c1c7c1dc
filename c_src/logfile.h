/* The log of one pool on disk: append, rotate, survive a full disk.
 *
 * POOL.log is written; when the next line would take it over bytes_max, or comes more than age_max
 * after the first one, it becomes POOL.log.1, that one POOL.log.2, and so on; `files` counts all of
 * them, so a pool takes at most files * bytes_max.
 * A line is in one file as a whole. A reader that holds POOL.log open keeps reading the same file
 * under its new name; nothing is written to a file any more once POOL.log is another one.
 *
 * A line that cannot be written is lost and counted, the caller goes on: a full disk must not stop
 * the workers. The first write that succeeds again is preceded by one line, `[N lines lost: No
 * space left on device]`, of worker 0 with the node's own pid. What a failed write left behind of a
 * line is cut off.
 *
 * One thread at a time per structure and directory; the counters may be read by others. */
#ifndef DROP_LOGFILE_H
#define DROP_LOGFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "logline.h"

#define DROP_LOGFILE_NAME_SIZE (DROP_NAME_MAX + sizeof ".log")

struct drop_logfile_counters {
    _Atomic uint64_t lines; /* written */
    _Atomic uint64_t bytes; /* written */
    _Atomic uint64_t lost;  /* lines that could not be written */
    _Atomic uint64_t rotations;
    _Atomic uint64_t write_errors; /* failed writes, opens and rotations */
};

/* What the logs of a directory have in common; outlives them. */
struct drop_logfile_directory {
    int fd;
    uint64_t bytes_max; /* of one file; a single line longer than this gets a file of its own */
    int64_t age_max;    /* seconds; 0: a file may get as old as it likes */
    unsigned files;     /* at least 1; with 1 a full file is thrown away */
    struct drop_logfile_counters counters;
};

struct drop_logfile {
    struct drop_logfile_directory *directory;
    char name[DROP_LOGFILE_NAME_SIZE];
    struct drop_logline_tag tag; /* of the lines that the log itself writes */
    int fd;                      /* -1: could not be opened; every write tries again */
    bool torn;                   /* the file does not end in a newline */
    uint64_t size;
    int64_t begun; /* time of its first line, seconds since 1970; 0: it is to come */
    uint64_t lost; /* lines since the last one that was written */
    int error;     /* errno of the first of them */
};

/* The file name of a pool's log. One byte stands for one byte, so that any pool's name fits and the
 * way back is unique: `/` is `+`, `:` is `=`, and a `.` at the start is `,`, since no log should be
 * hidden. Returns the length, or 0 when `pool` is not a pool's name (docs/protocol.md, section 1).
 */
size_t drop_logfile_name(const char *pool, size_t length, char name[DROP_LOGFILE_NAME_SIZE]);

/* The pool whose current log has this file name; 0 when it is none, e.g. a rotated one. The result
 * is as long as the return value and is terminated. */
size_t drop_logfile_pool(const char *name, size_t length, char pool[DROP_NAME_MAX + 1]);

/* Opens the log of a pool, whose name is valid; continues a file that exists. Never fails: see
 * `fd`. */
void drop_logfile_open(struct drop_logfile *file, struct drop_logfile_directory *directory,
                       const char *pool, size_t length);

/* Writes whole lines, as few writes as the rotation allows. */
void drop_logfile_write(struct drop_logfile *file, const char *lines, size_t length,
                        const struct drop_logline_stamp *stamp);

/* Tries to report lines that were lost; true when none are left to report. */
bool drop_logfile_report_lost(struct drop_logfile *file, const struct drop_logline_stamp *stamp);

/* Opens the file by its name again, after somebody has moved it or the directory; keeps the old one
 * when that fails. */
void drop_logfile_reopen(struct drop_logfile *file);

void drop_logfile_close(struct drop_logfile *file);

#endif
