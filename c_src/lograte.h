/* How much one worker may log: a token bucket that holds one second's worth. Pure.
 *
 * A line costs one token for each DROP_LOGRATE_LINE_BYTES that it begins, so that the bound on
 * lines is one on bytes, too. A line passes when there is anything left, and may leave a debt; so
 * the longest line passes at the lowest rate.
 *
 * Kept as a time: up to when the worker has used what it may. */
#ifndef DROP_LOGRATE_H
#define DROP_LOGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* bytes that one token is good for: more than all but a few lines of text have; a worker at the
 * default rate of 10 000 lines/s writes at most 2.5 MB/s, some seconds of which fill a log file */
#define DROP_LOGRATE_LINE_BYTES 256u
#define DROP_LOGRATE_SECOND_NS 1000000000ull
#define DROP_LOGRATE_MAX 10000000u /* lines a second; more is no limit */
#define DROP_LOGRATE_TEXT_MAX 96u

/* Zeroed is valid. */
struct drop_lograte {
    uint64_t used_until; /* ns */
    uint64_t cut;        /* lines since the last report */
    uint64_t cut_bytes;
    uint64_t report_at; /* ns; when there are any */
};

/* Takes a line's tokens, at `now` (ns, monotonic). False: it is over the rate, and so are all lines
 * up to a later `now`. `lines` a second, 0: no limit. */
static inline bool drop_lograte_take(struct drop_lograte *rate, uint32_t lines, uint64_t now,
                                     size_t length)
{
    if (lines == 0)
        return true;
    if (rate->used_until >= now + DROP_LOGRATE_SECOND_NS)
        return false;
    uint64_t tokens = 1 + length / (DROP_LOGRATE_LINE_BYTES + 1);
    uint64_t start = rate->used_until > now ? rate->used_until : now;
    rate->used_until = start + tokens * (DROP_LOGRATE_SECOND_NS / lines);
    return true;
}

/* Lines were cut; the report is due a second after the first of them. */
void drop_lograte_cut(struct drop_lograte *rate, uint64_t now, uint64_t lines, uint64_t bytes);

/* The text of the report, and begins to count anew; returns its length, 0 when nothing was cut. */
size_t drop_lograte_report(struct drop_lograte *rate, uint32_t lines,
                           char text[DROP_LOGRATE_TEXT_MAX]);

#endif
