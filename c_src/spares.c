/* See spares.h. */
#include "spares.h"

#include "clock.h"

/* Time without a miss after which one ready process less is kept: long enough that a function that
 * is called every few seconds keeps what it needs. */
#define RELAX_NS (10000 * DROP_NS_PER_MS)

void drop_spares_init(struct drop_spares *spares, uint32_t least, uint32_t most, uint64_t now_ns)
{
    *spares = (struct drop_spares){
        .least = least < most ? least : most,
        .most = most,
        .target = least < most ? least : most,
        .relaxed_ns = now_ns,
    };
}

void drop_spares_missed(struct drop_spares *spares, uint64_t now_ns)
{
    uint32_t doubled = spares->target ? 2 * spares->target : 1;
    spares->target = doubled < spares->most ? doubled : spares->most;
    spares->relaxed_ns = now_ns;
}

uint64_t drop_spares_relax(struct drop_spares *spares, uint64_t now_ns)
{
    while (spares->target > spares->least && spares->relaxed_ns + RELAX_NS <= now_ns) {
        spares->target--;
        spares->relaxed_ns += RELAX_NS;
    }
    return spares->target > spares->least ? spares->relaxed_ns + RELAX_NS : UINT64_MAX;
}

uint32_t drop_spares_wanted(const struct drop_spares *spares,
                            const struct drop_processes *processes, int draining)
{
    /* Those that run and those that will run are bounded by at_most; ready ones come on top. */
    uint32_t room = processes->at_most > processes->running
                        ? processes->at_most - processes->running
                        : 0;
    uint32_t for_messages = processes->waiting < room ? processes->waiting : room;
    uint32_t needed = for_messages + (draining ? 0 : spares->target);
    uint32_t have = processes->ready + processes->starting;
    return needed > have ? needed - have : 0;
}

uint32_t drop_spares_surplus(const struct drop_spares *spares,
                             const struct drop_processes *processes)
{
    return processes->ready > spares->target ? processes->ready - spares->target : 0;
}
