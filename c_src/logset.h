/* The logs of pools by name: opened when the first process of a pool says something, kept for a
 * while when the last of them has ended. A function that runs a process for each message opens and
 * closes its log once, not for each; one that says nothing has no log. One thread. */
#ifndef DROP_LOGSET_H
#define DROP_LOGSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logfile.h"

#define DROP_LOGSET_BUCKETS 256u
/* seconds that a log is kept open without a user */
#define DROP_LOGSET_KEEP 10
/* logs kept so: one descriptor each */
#define DROP_LOGSET_UNUSED_MAX 64u

struct drop_log {
    struct drop_log *next; /* of its bucket */
    uint64_t users;
    int64_t unused_since; /* second */
    size_t pool_length;
    char pool[DROP_NAME_MAX];
    struct drop_logfile file;
};

/* Zeroed is valid. */
struct drop_logset {
    struct drop_log *buckets[DROP_LOGSET_BUCKETS];
    size_t unused;
    bool losing; /* some log has lost lines to report */
};

/* The log of a pool, whose name is valid; NULL without memory. Give it back. */
struct drop_log *drop_logset_take(struct drop_logset *set,
                                  struct drop_logfile_directory *directory, const char *pool,
                                  size_t length);

void drop_logset_give(struct drop_logset *set, struct drop_log *log,
                      const struct drop_logline_stamp *stamp);

/* Whether upkeep has anything to do, sooner or later. */
bool drop_logset_needs_upkeep(const struct drop_logset *set);

/* Tries to report losses, since a pool that has fallen silent has no write of its own to report
 * them with, and closes what nobody has used for long. To be called once a second. */
void drop_logset_upkeep(struct drop_logset *set, const struct drop_logline_stamp *stamp);

/* Opens all files by their names again, in a directory that may be another one. */
void drop_logset_reopen(struct drop_logset *set);

/* Closes all, after a last attempt to report losses. No log has a user. */
void drop_logset_close(struct drop_logset *set, const struct drop_logline_stamp *stamp);

#endif
