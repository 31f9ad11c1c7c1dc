#define _GNU_SOURCE
#include "logset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Where the log of a pool is linked, or would be. */
static struct drop_log **find(struct drop_logset *set, const char *pool, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)pool[i]) * 16777619u;
    struct drop_log **link = &set->buckets[hash % DROP_LOGSET_BUCKETS];
    while (*link && ((*link)->pool_length != length || memcmp((*link)->pool, pool, length) != 0))
        link = &(*link)->next;
    return link;
}

struct drop_log *drop_logset_take(struct drop_logset *set,
                                  struct drop_logfile_directory *directory, const char *pool,
                                  size_t length)
{
    struct drop_log **link = find(set, pool, length);
    struct drop_log *log = *link;
    if (log) {
        set->unused -= log->users == 0;
        log->users++;
        return log;
    }
    log = calloc(1, sizeof *log);
    if (!log)
        return NULL;
    log->users = 1;
    log->pool_length = length;
    memcpy(log->pool, pool, length);
    drop_logfile_open(&log->file, directory, pool, length);
    *link = log;
    return log;
}

static void close_at(struct drop_log **link)
{
    struct drop_log *log = *link;
    *link = log->next;
    drop_logfile_close(&log->file);
    free(log);
}

void drop_logset_give(struct drop_logset *set, struct drop_log *log,
                      const struct drop_logline_stamp *stamp)
{
    if (!log || --log->users > 0)
        return;
    log->unused_since = stamp->second;
    if (set->unused < DROP_LOGSET_UNUSED_MAX || !drop_logfile_report_lost(&log->file, stamp))
        set->unused++;
    else
        close_at(find(set, log->pool, log->pool_length));
}

bool drop_logset_needs_upkeep(const struct drop_logset *set)
{
    return set->losing || set->unused > 0;
}

void drop_logset_upkeep(struct drop_logset *set, const struct drop_logline_stamp *stamp)
{
    set->losing = false;
    for (size_t i = 0; i < DROP_LOGSET_BUCKETS; i++) {
        struct drop_log **link = &set->buckets[i];
        while (*link) {
            struct drop_log *log = *link;
            bool is_losing = !drop_logfile_report_lost(&log->file, stamp);
            set->losing |= is_losing;
            if (log->users > 0 || is_losing ||
                stamp->second - log->unused_since < DROP_LOGSET_KEEP) {
                link = &log->next;
                continue;
            }
            set->unused--;
            close_at(link);
        }
    }
}

void drop_logset_reopen(struct drop_logset *set)
{
    for (size_t i = 0; i < DROP_LOGSET_BUCKETS; i++)
        for (struct drop_log *log = set->buckets[i]; log; log = log->next)
            drop_logfile_reopen(&log->file);
}

void drop_logset_close(struct drop_logset *set, const struct drop_logline_stamp *stamp)
{
    for (size_t i = 0; i < DROP_LOGSET_BUCKETS; i++)
        while (set->buckets[i]) {
            assert(set->buckets[i]->users == 0);
            drop_logfile_report_lost(&set->buckets[i]->file, stamp);
            close_at(&set->buckets[i]);
        }
    set->unused = 0;
}
