/* How many processes are kept ready: doubling, decay, and the bounds of both. */
#include "spares.h"

#include "check.h"
#include "clock.h"

#define SECOND (1000 * DROP_NS_PER_MS)

static struct drop_spares spares;

static void test_the_bounds_of_the_beginning(void)
{
    drop_spares_init(&spares, 2, 8, 0);
    CHECK_EQUAL(spares.target, 2);
    drop_spares_init(&spares, 9, 8, 0);
    CHECK_EQUAL(spares.target, 8);
    CHECK_EQUAL(spares.least, 8);
    drop_spares_init(&spares, 0, 0, 0);
    drop_spares_missed(&spares, 1);
    CHECK_EQUAL(spares.target, 0);
}

static void test_misses_double_it(void)
{
    static const uint32_t targets[] = {1, 2, 4, 8, 16, 20, 20};
    drop_spares_init(&spares, 0, 20, 0);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        drop_spares_missed(&spares, i);
        CHECK_EQUAL(spares.target, targets[i]);
    }
}

static void test_time_takes_one_away_after_the_other(void)
{
    drop_spares_init(&spares, 1, 20, 0);
    CHECK_EQUAL(drop_spares_relax(&spares, 100 * SECOND), UINT64_MAX);
    for (int i = 0; i < 2; i++)
        drop_spares_missed(&spares, 100 * SECOND);
    CHECK_EQUAL(spares.target, 4);
    CHECK_EQUAL(drop_spares_relax(&spares, 110 * SECOND - 1), 110 * SECOND);
    CHECK_EQUAL(spares.target, 4);
    CHECK_EQUAL(drop_spares_relax(&spares, 110 * SECOND), 120 * SECOND);
    CHECK_EQUAL(spares.target, 3);
    drop_spares_missed(&spares, 115 * SECOND); /* and it begins anew */
    CHECK_EQUAL(drop_spares_relax(&spares, 120 * SECOND), 125 * SECOND);
    CHECK_EQUAL(spares.target, 6);
    /* However long nobody looked. */
    CHECK_EQUAL(drop_spares_relax(&spares, 100000 * SECOND), UINT64_MAX);
    CHECK_EQUAL(spares.target, 1);
}

static void test_how_many_are_started(void)
{
    static const struct {
        uint32_t target;
        struct drop_processes now; /* ready, starting, running, waiting, at_most */
        uint32_t wanted, draining;
    } rows[] = {
        {0, {0, 0, 0, 0, 4}, 0, 0}, /* nothing to do */
        {3, {0, 0, 0, 0, 4}, 3, 0}, /* kept ready */
        {3, {2, 1, 0, 0, 4}, 0, 0},
        {3, {3, 0, 4, 0, 4}, 0, 0},
        {3, {0, 0, 4, 9, 4}, 3, 0}, /* all that may run do, and some are kept besides */
        {0, {0, 0, 0, 9, 4}, 4, 4}, /* one for each message, up to at_most */
        {0, {0, 2, 1, 9, 4}, 1, 1},
        {0, {0, 0, 4, 9, 4}, 0, 0},
        {0, {0, 0, 6, 9, 4}, 0, 0}, /* at_most was made smaller */
        {2, {0, 0, 1, 1, 4}, 3, 1},
        {2, {9, 0, 1, 1, 4}, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        drop_spares_init(&spares, rows[i].target, 64, 0);
        CHECK_EQUAL(drop_spares_wanted(&spares, &rows[i].now, 0), rows[i].wanted);
        CHECK_EQUAL(drop_spares_wanted(&spares, &rows[i].now, 1), rows[i].draining);
    }
}

static void test_how_many_may_go(void)
{
    struct drop_processes now = {.ready = 5, .at_most = 4};
    drop_spares_init(&spares, 2, 64, 0);
    CHECK_EQUAL(drop_spares_surplus(&spares, &now), 3);
    now.ready = 2;
    CHECK_EQUAL(drop_spares_surplus(&spares, &now), 0);
}

int main(void)
{
    RUN(test_the_bounds_of_the_beginning);
    RUN(test_misses_double_it);
    RUN(test_time_takes_one_away_after_the_other);
    RUN(test_how_many_are_started);
    RUN(test_how_many_may_go);
    return check_summary();
}
