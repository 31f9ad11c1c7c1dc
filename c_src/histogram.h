/* A log-linear histogram of durations: constant memory, one increment to record, quantiles with a
 * known error.
 *
 * Values below 16 ns have a bucket each. From there every power of two is cut into 16 buckets of
 * equal width, so a bucket is at most 1/16 of its values wide, and the middle of it, which is what
 * quantiles report, is at most 1/32 (3.2 %) away from any value in it. Values from 2^40 ns (18
 * minutes) on share the last bucket; `max` stays exact. The idea is HdrHistogram's; 592 counters
 * take 4.6 KiB, little enough for one histogram per pool.
 *
 * Count and sum are worked out from the buckets when somebody asks, so recording touches one
 * counter and `max` only. One thread at a time. A zeroed structure is an empty histogram.
 */
#ifndef DROP_HISTOGRAM_H
#define DROP_HISTOGRAM_H

#include <stdint.h>

#define DROP_HISTOGRAM_SUB_BITS 4 /* log2 of the buckets per power of two */
#define DROP_HISTOGRAM_VALUE_BITS 40
#define DROP_HISTOGRAM_SUB (1u << DROP_HISTOGRAM_SUB_BITS)
#define DROP_HISTOGRAM_BUCKETS                                                                     \
    ((DROP_HISTOGRAM_VALUE_BITS - DROP_HISTOGRAM_SUB_BITS + 1u) * DROP_HISTOGRAM_SUB)
#define DROP_HISTOGRAM_VALUE_MAX ((UINT64_C(1) << DROP_HISTOGRAM_VALUE_BITS) - 1)

typedef struct drop_histogram {
    uint64_t max; /* largest value ever added, exact */
    uint64_t bucket[DROP_HISTOGRAM_BUCKETS];
} drop_histogram;

/* Bucket of a value; defined for every value. */
static inline unsigned drop_histogram_index(uint64_t value_ns)
{
    if (value_ns > DROP_HISTOGRAM_VALUE_MAX)
        value_ns = DROP_HISTOGRAM_VALUE_MAX;
    if (value_ns < DROP_HISTOGRAM_SUB)
        return (unsigned)value_ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value_ns) - DROP_HISTOGRAM_SUB_BITS;
    /* value >> shift lies in SUB to 2 SUB - 1, which moves each power of two a row further. */
    return shift * DROP_HISTOGRAM_SUB + (unsigned)(value_ns >> shift);
}

/* Records `count` values of `value_ns`. */
static inline void drop_histogram_add(drop_histogram *histogram, uint64_t value_ns, uint64_t count)
{
    histogram->bucket[drop_histogram_index(value_ns)] += count;
    if (value_ns > histogram->max)
        histogram->max = value_ns;
}

void drop_histogram_init(drop_histogram *histogram);

/* Adds everything in `other` to `histogram`. */
void drop_histogram_merge(drop_histogram *histogram, const drop_histogram *other);

/* How many values were added. */
uint64_t drop_histogram_count(const drop_histogram *histogram);

/* Sum of the values in ns, within 1/32; a double, since many calls at once add up faster than the
 * clock runs. */
double drop_histogram_sum(const drop_histogram *histogram);

/* The value below which the share `q` (0 to 1) of all values lies, in ns, within 1/32 and never
 * above `max`; 0 when empty. A value past 2^40 ns is reported as `max`. */
uint64_t drop_histogram_quantile(const drop_histogram *histogram, double q);

#endif
