/* What is asked of a histogram now and then: merging, counting, quantiles. Recording is inline in
 * the header. */
#include "histogram.h"

#include <string.h>

/* The middle of a bucket: of the values it holds, the one that is least wrong for all. */
static uint64_t bucket_value(unsigned index)
{
    if (index < 2 * DROP_HISTOGRAM_SUB)
        return index; /* one value wide */
    unsigned shift = index / DROP_HISTOGRAM_SUB - 1;
    uint64_t low = (uint64_t)(DROP_HISTOGRAM_SUB + index % DROP_HISTOGRAM_SUB) << shift;
    return low + (UINT64_C(1) << (shift - 1));
}

void drop_histogram_init(drop_histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void drop_histogram_merge(drop_histogram *histogram, const drop_histogram *other)
{
    for (unsigned i = 0; i < DROP_HISTOGRAM_BUCKETS; i++)
        histogram->bucket[i] += other->bucket[i];
    if (other->max > histogram->max)
        histogram->max = other->max;
}

uint64_t drop_histogram_count(const drop_histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < DROP_HISTOGRAM_BUCKETS; i++)
        count += histogram->bucket[i];
    return count;
}

double drop_histogram_sum(const drop_histogram *histogram)
{
    double sum = 0.0;
    for (unsigned i = 0; i < DROP_HISTOGRAM_BUCKETS; i++)
        sum += (double)histogram->bucket[i] * (double)bucket_value(i);
    return sum;
}

uint64_t drop_histogram_quantile(const drop_histogram *histogram, double q)
{
    uint64_t count = drop_histogram_count(histogram);
    uint64_t rank = q <= 0.0 ? 0 : (uint64_t)(q * (double)count); /* values below the answer */
    uint64_t below = 0;
    for (unsigned i = 0; i < DROP_HISTOGRAM_BUCKETS - 1; i++) {
        below += histogram->bucket[i];
        if (below > rank) {
            uint64_t value = bucket_value(i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    /* q is 1, nothing was added, or the answer lies in the bucket that has no upper end. */
    return histogram->max;
}
