/* Where to run and when to sleep: what makes a single call on an idle system quick. Pure
 * decisions.
 *
 * A call to an idle node wakes three processes one after the other, and waking an idle CPU costs
 * from 5 to 50 us each. Two habits avoid most of it, and both are left at once when there is more
 * than one message under way, because then all CPUs are needed:
 *
 * - While calls come one at a time and the function is quick, the reactor keeps to one CPU and
 *   the worker beside it ("gathered"): the hand-over is a context switch then, not a wake-up of
 *   another CPU.
 * - When nothing is under way and the next call tends to come soon, the reactor polls that long
 *   before it sleeps. The window adapts as KVM's halt polling does
 *   (Documentation/virt/kvm/halt-polling.rst in Linux): it grows when a sleep turned out short
 *   and falls to nothing when one was long, so an idle node burns no CPU. */
#ifndef DROP_PLACEMENT_H
#define DROP_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

/* The longest polling, ns: a few wake-ups' worth */
#define DROP_POLL_NS_MAX UINT64_C(100000)
#define DROP_POLL_NS_FIRST UINT64_C(10000)
/* A function that takes longer gains nothing from a saved wake-up, and would keep the reactor
 * from its CPU, ns */
#define DROP_GATHER_SERVICE_NS UINT64_C(200000)
/* Calls in a row, one at a time, before the reactor and the worker gather ... */
#define DROP_GATHER_CALLS 32u
/* ... and at most, after it turned out wrong again and again */
#define DROP_GATHER_CALLS_MAX (1u << 20)

struct drop_placement {
    uint64_t poll_ns; /* how long to poll before sleeping; 0: not at all */
    uint32_t calm;    /* quick calls one at a time, in a row */
    uint32_t needed;  /* of them before gathering */
    bool gathered;
};

enum drop_placement_move { DROP_STAY, DROP_GATHER, DROP_SCATTER };

void drop_placement_init(struct drop_placement *placement);
/* A sleep with nothing under way took this long. */
void drop_placement_slept(struct drop_placement *placement, uint64_t slept_ns);
/* A worker answered after `service_ns`; `others` messages are still under way. */
enum drop_placement_move drop_placement_answered(struct drop_placement *placement,
                                                 uint64_t service_ns, uint64_t others);
/* More than one message is under way. */
enum drop_placement_move drop_placement_busy(struct drop_placement *placement);

#endif
