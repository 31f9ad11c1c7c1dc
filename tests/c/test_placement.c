/* When the reactor polls, gathers and lets go: placement.h as a table of histories. */
#include "check.h"

#include "../../c_src/placement.h"

#define QUICK UINT64_C(5000)

static struct drop_placement gathered(void)
{
    struct drop_placement placement;
    drop_placement_init(&placement);
    for (unsigned i = 1; i < DROP_GATHER_CALLS; i++)
        CHECK(drop_placement_answered(&placement, QUICK, 0) == DROP_STAY);
    CHECK(drop_placement_answered(&placement, QUICK, 0) == DROP_GATHER);
    CHECK(placement.gathered);
    return placement;
}

static void test_polls_only_while_sleeps_are_short(void)
{
    struct drop_placement placement;
    drop_placement_init(&placement);
    CHECK(placement.poll_ns == 0);
    drop_placement_slept(&placement, 20000);
    CHECK(placement.poll_ns == DROP_POLL_NS_FIRST);
    for (int i = 0; i < 20; i++)
        drop_placement_slept(&placement, 20000);
    CHECK(placement.poll_ns == DROP_POLL_NS_MAX);
    drop_placement_slept(&placement, DROP_POLL_NS_MAX + 1);
    CHECK(placement.poll_ns == 0);
}

static void test_company_or_a_slow_function_scatters(void)
{
    struct drop_placement placement = gathered();
    CHECK(drop_placement_answered(&placement, QUICK, 1) == DROP_SCATTER);
    CHECK(drop_placement_busy(&placement) == DROP_STAY);
    placement = gathered();
    CHECK(drop_placement_answered(&placement, DROP_GATHER_SERVICE_NS + 1, 0) == DROP_SCATTER);
    placement = gathered();
    CHECK(drop_placement_busy(&placement) == DROP_SCATTER);
    CHECK(!placement.gathered);
}

static void test_regret_makes_it_wait_longer(void)
{
    struct drop_placement placement = gathered();
    drop_placement_busy(&placement);
    CHECK(placement.needed == 2 * DROP_GATHER_CALLS);
    for (unsigned i = 1; i < 2 * DROP_GATHER_CALLS; i++)
        CHECK(drop_placement_answered(&placement, QUICK, 0) == DROP_STAY);
    CHECK(drop_placement_answered(&placement, QUICK, 0) == DROP_GATHER);
}

static void test_a_long_time_together_is_no_regret(void)
{
    struct drop_placement placement = gathered();
    for (unsigned i = 0; i < DROP_GATHER_CALLS; i++)
        drop_placement_answered(&placement, QUICK, 0);
    drop_placement_busy(&placement);
    CHECK(placement.needed == DROP_GATHER_CALLS);
}

int main(void)
{
    RUN(test_polls_only_while_sleeps_are_short);
    RUN(test_company_or_a_slow_function_scatters);
    RUN(test_regret_makes_it_wait_longer);
    RUN(test_a_long_time_together_is_no_regret);
    return check_summary();
}
