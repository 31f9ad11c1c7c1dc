/* The rate of one worker: what passes in which time, and what the report says. */
#include "check.h"
#include "lograte.h"

#define SECOND DROP_LOGRATE_SECOND_NS

/* Lines of `length` that pass of `tried`, all at `now`. */
static uint64_t passed(struct drop_lograte *rate, uint32_t lines, uint64_t now, size_t length,
                       uint64_t tried)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < tried; i++)
        count += drop_lograte_take(rate, lines, now, length);
    return count;
}

static void test_one_second_at_once(void)
{
    struct drop_lograte rate = {0};
    CHECK_EQUAL(passed(&rate, 100, 5 * SECOND, 80, 1000), 100);
    CHECK_EQUAL(passed(&rate, 100, 5 * SECOND, 80, 1000), 0);
    CHECK_EQUAL(passed(&rate, 100, 5 * SECOND + SECOND / 2, 80, 1000), 50);
    CHECK_EQUAL(passed(&rate, 100, 100 * SECOND, 80, 1000), 100); /* no more is saved up */
}

static void test_rate_over_time(void)
{
    struct drop_lograte rate = {0};
    uint64_t count = 0;
    for (uint64_t now = 0; now < 10 * SECOND; now += SECOND / 1000)
        count += passed(&rate, 10000, now, 0, 100);
    CHECK_EQUAL(count, 10000 + 9999 * 10); /* the burst, and ten in each millisecond behind it */
}

static void test_long_lines_cost_more(void)
{
    struct drop_lograte rate = {0};
    CHECK_EQUAL(passed(&rate, 100, 0, DROP_LOGRATE_LINE_BYTES, 1000), 100);
    rate = (struct drop_lograte){0};
    CHECK_EQUAL(passed(&rate, 100, 0, DROP_LOGRATE_LINE_BYTES + 1, 1000), 50);
    rate = (struct drop_lograte){0};
    CHECK_EQUAL(passed(&rate, 1, 0, 16384, 10), 1); /* and 64 seconds of debt */
    CHECK_EQUAL(passed(&rate, 1, 62 * SECOND, 16384, 10), 0);
    CHECK_EQUAL(passed(&rate, 1, 64 * SECOND, 16384, 10), 1);
}

static void test_no_limit(void)
{
    struct drop_lograte rate = {0};
    CHECK_EQUAL(passed(&rate, 0, 0, 16384, 100000), 100000);
    CHECK_EQUAL(passed(&rate, DROP_LOGRATE_MAX, 0, 1, 2 * DROP_LOGRATE_MAX), DROP_LOGRATE_MAX);
}

static void test_report(void)
{
    struct drop_lograte rate = {0};
    char text[DROP_LOGRATE_TEXT_MAX];
    CHECK_EQUAL(drop_lograte_report(&rate, 10000, text), 0);
    drop_lograte_cut(&rate, 5, 123450, 999999);
    drop_lograte_cut(&rate, 9, 6, 1);
    CHECK_EQUAL(rate.report_at, SECOND + 5);
    size_t length = drop_lograte_report(&rate, 10000, text);
    CHECK_BYTES(text, length, "[123456 lines cut: more than 10000 lines a second]");
    CHECK_EQUAL(drop_lograte_report(&rate, 10000, text), 0);
    drop_lograte_cut(&rate, 7, 2, 2 * (DROP_LOGRATE_LINE_BYTES + 1));
    CHECK_EQUAL(rate.report_at, SECOND + 7);
    length = drop_lograte_report(&rate, 10000, text);
    CHECK_BYTES(text, length, "[2 lines cut: more than 2560000 bytes a second]");
    drop_lograte_cut(&rate, 0, UINT64_MAX, 0);
    CHECK(drop_lograte_report(&rate, DROP_LOGRATE_MAX, text) < sizeof text);
}

int main(void)
{
    RUN(test_one_second_at_once);
    RUN(test_rate_over_time);
    RUN(test_long_lines_cost_more);
    RUN(test_no_limit);
    RUN(test_report);
    return check_summary();
}
