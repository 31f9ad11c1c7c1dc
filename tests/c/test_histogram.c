/* The histogram against arithmetic: bucket edges, error bound, quantiles of known data, merging. */
#include "check.h"
#include "histogram.h"

static int within_bound(uint64_t got, uint64_t wanted)
{
    uint64_t off = got > wanted ? got - wanted : wanted - got;
    return off * 2 * DROP_HISTOGRAM_SUB <= wanted;
}

/* Indexes never go down, never skip, and end at the last bucket. */
static void test_index_is_monotonic(void)
{
    unsigned last = 0;
    for (uint64_t value = 0; value < 1u << 20; value++) {
        unsigned index = drop_histogram_index(value);
        CHECK(index == last || index == last + 1);
        last = index;
    }
    for (unsigned bit = 20; bit < DROP_HISTOGRAM_VALUE_BITS; bit++) {
        uint64_t value = UINT64_C(1) << bit;
        CHECK(drop_histogram_index(value) == drop_histogram_index(value - 1) + 1);
    }
    CHECK(drop_histogram_index(DROP_HISTOGRAM_VALUE_MAX) == DROP_HISTOGRAM_BUCKETS - 1);
    CHECK(drop_histogram_index(UINT64_MAX) == DROP_HISTOGRAM_BUCKETS - 1);
}

/* One value among larger ones comes back within the bound that the header states. */
static void test_error_bound(void)
{
    static drop_histogram histogram;
    for (uint64_t value = 1; value < DROP_HISTOGRAM_VALUE_MAX / 17 * 16; value += value / 37 + 1) {
        drop_histogram_init(&histogram);
        drop_histogram_add(&histogram, value, 10);
        drop_histogram_add(&histogram, UINT64_MAX, 1);
        CHECK(within_bound(drop_histogram_quantile(&histogram, 0.5), value));
        CHECK(drop_histogram_quantile(&histogram, 1.0) == UINT64_MAX);
    }
}

static void test_quantiles_of_a_ramp(void)
{
    static drop_histogram histogram;
    drop_histogram_init(&histogram);
    for (uint64_t value = 1; value <= 100000; value++)
        drop_histogram_add(&histogram, value, 1);
    CHECK(drop_histogram_count(&histogram) == 100000);
    CHECK(within_bound(drop_histogram_quantile(&histogram, 0.5), 50001));
    CHECK(within_bound(drop_histogram_quantile(&histogram, 0.99), 99001));
    CHECK(within_bound(drop_histogram_quantile(&histogram, 0.999), 99901));
    CHECK(drop_histogram_quantile(&histogram, 0.0) == 1);
    CHECK(drop_histogram_quantile(&histogram, -1.0) == 1);
    CHECK(drop_histogram_quantile(&histogram, 1.0) == 100000);
    CHECK(drop_histogram_quantile(&histogram, 2.0) == 100000);
    CHECK(within_bound((uint64_t)drop_histogram_sum(&histogram), UINT64_C(5000050000)));
}

/* Nothing reported lies above what was seen, and an empty histogram reports zeros. */
static void test_edges(void)
{
    drop_histogram histogram = {0};
    CHECK(drop_histogram_count(&histogram) == 0);
    CHECK(drop_histogram_quantile(&histogram, 0.5) == 0);
    CHECK(drop_histogram_sum(&histogram) <= 0.0);
    drop_histogram_add(&histogram, 1024, 3);
    CHECK(drop_histogram_quantile(&histogram, 0.5) == 1024);
    drop_histogram_add(&histogram, 7, 0);
    CHECK(drop_histogram_count(&histogram) == 3);
}

static void test_merge_is_addition(void)
{
    static drop_histogram left, right, both;
    for (uint64_t value = 1; value < 1u << 30; value = value * 3 / 2 + 1) {
        drop_histogram_add(value % 2 != 0 ? &left : &right, value, value % 5);
        drop_histogram_add(&both, value, value % 5);
    }
    drop_histogram_merge(&left, &right);
    CHECK(left.max == both.max);
    for (unsigned i = 0; i < DROP_HISTOGRAM_BUCKETS; i++)
        CHECK(left.bucket[i] == both.bucket[i]);
}

int main(void)
{
    RUN(test_index_is_monotonic);
    RUN(test_error_bound);
    RUN(test_quantiles_of_a_ramp);
    RUN(test_edges);
    RUN(test_merge_is_addition);
    return check_summary();
}
