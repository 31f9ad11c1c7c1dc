/* The decisions; see placement.h. */
#include "placement.h"

void drop_placement_init(struct drop_placement *placement)
{
    *placement = (struct drop_placement){.needed = DROP_GATHER_CALLS};
}

void drop_placement_slept(struct drop_placement *placement, uint64_t slept_ns)
{
    if (slept_ns > DROP_POLL_NS_MAX) {
        placement->poll_ns = 0;
        return;
    }
    uint64_t grown = placement->poll_ns ? 2 * placement->poll_ns : DROP_POLL_NS_FIRST;
    placement->poll_ns = grown < DROP_POLL_NS_MAX ? grown : DROP_POLL_NS_MAX;
}

enum drop_placement_move drop_placement_answered(struct drop_placement *placement,
                                                 uint64_t service_ns, uint64_t others)
{
    if (others || service_ns > DROP_GATHER_SERVICE_NS) {
        return drop_placement_busy(placement);
    }
    placement->calm++;
    if (placement->gathered) {
        /* Long enough together without regret: the next mistake is a first one again. */
        if (placement->calm == DROP_GATHER_CALLS_MAX)
            placement->needed = DROP_GATHER_CALLS;
        return DROP_STAY;
    }
    if (placement->calm < placement->needed)
        return DROP_STAY;
    placement->calm = 0;
    placement->gathered = true;
    return DROP_GATHER;
}

enum drop_placement_move drop_placement_busy(struct drop_placement *placement)
{
    bool regret = placement->gathered && placement->calm < placement->needed;
    enum drop_placement_move move = placement->gathered ? DROP_SCATTER : DROP_STAY;
    if (regret && placement->needed < DROP_GATHER_CALLS_MAX)
        placement->needed *= 2;
    placement->gathered = false;
    placement->calm = 0;
    return move;
}
