/* The heap of timers against a plain search, and who may arm whom while they fire. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "check.h"
#include "timer.h"

enum { TIMERS = 70 };

static struct drop_timers timers;
static struct drop_timer all[TIMERS];
static uint64_t fired_at[TIMERS];
static uint64_t again_ns; /* a timer that fires arms itself that much later; 0: not */

static void fire(struct drop_timer *timer, uint64_t now_ns)
{
    fired_at[timer - all] = now_ns;
    if (again_ns)
        drop_timer_arm(&timers, timer, now_ns + again_ns);
}

static void set_up(void)
{
    drop_timers_init(&timers);
    memset(all, 0, sizeof all);
    memset(fired_at, 0, sizeof fired_at);
    again_ns = 0;
    for (int i = 0; i < TIMERS; i++) {
        all[i].fire = fire;
        CHECK_EQUAL(drop_timers_register(&timers), 0);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < TIMERS; i++)
        drop_timers_unregister(&timers, &all[i]);
    CHECK_EQUAL(timers.count, 0);
    drop_timers_close(&timers);
}

static uint64_t earliest(void)
{
    uint64_t due = DROP_NEVER;
    for (int i = 0; i < TIMERS; i++)
        if (all[i].index && all[i].due_ns < due)
            due = all[i].due_ns;
    return due;
}

static void test_order(void)
{
    set_up();
    unsigned random = 7;
    for (int round = 0; round < 5000; round++) {
        random = random * 1103515245 + 12345;
        struct drop_timer *timer = &all[(random >> 8) % TIMERS];
        if (random >> 30)
            drop_timer_arm(&timers, timer, 1 + (random >> 4) % 1000);
        else
            drop_timer_disarm(&timers, timer);
        CHECK(drop_timers_next(&timers) == earliest());
    }
    for (uint64_t now = 0; timers.count; now += 10) {
        drop_timers_run(&timers, now);
        CHECK(earliest() > now);
    }
    tear_down();
}

static void test_it_is_never_moved_later(void)
{
    set_up();
    drop_timer_arm(&timers, &all[0], 100);
    drop_timer_arm(&timers, &all[0], 200);
    CHECK_EQUAL(drop_timers_next(&timers), 100);
    drop_timer_arm(&timers, &all[0], 50);
    drop_timer_arm(&timers, &all[0], DROP_NEVER);
    CHECK_EQUAL(drop_timers_next(&timers), 50);
    drop_timers_run(&timers, 49);
    CHECK_EQUAL(fired_at[0], 0);
    drop_timers_run(&timers, 50);
    CHECK_EQUAL(fired_at[0], 50);
    CHECK(drop_timers_next(&timers) == DROP_NEVER);
    tear_down();
}

static void test_it_may_arm_itself(void)
{
    set_up();
    again_ns = 10;
    drop_timer_arm(&timers, &all[3], 5);
    drop_timer_arm(&timers, &all[4], 6);
    drop_timers_run(&timers, 6);
    CHECK_EQUAL(drop_timers_next(&timers), 16);
    CHECK_EQUAL(timers.count, 2);
    tear_down();
}

static void test_owners_come_and_go(void)
{
    struct drop_timer timer = {.fire = fire};
    drop_timers_init(&timers);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i <= round; i++)
            REQUIRE(drop_timers_register(&timers) == 0);
        drop_timer_arm(&timers, &timer, round);
        for (unsigned i = 0; i <= round; i++)
            drop_timers_unregister(&timers, &timer);
    }
    CHECK_EQUAL(timers.capacity, 0);
    drop_timers_close(&timers);
}

int main(void)
{
    RUN(test_order);
    RUN(test_it_is_never_moved_later);
    RUN(test_it_may_arm_itself);
    RUN(test_owners_come_and_go);
    return check_summary();
}
