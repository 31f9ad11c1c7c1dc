/* Gathers the reactor and a worker on one CPU, and lets them go again: the doing side of
 * placement.h. */
#ifndef DROP_AFFINITY_H
#define DROP_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct drop_affinity {
    cpu_set_t reactor_before; /* what they may use when they are not gathered */
    cpu_set_t worker_before;
    pid_t worker; /* 0: not gathered */
};

/* Both to the CPU that the calling thread runs on. False: the kernel did not let us, nothing
 * changed. */
bool drop_affinity_gather(struct drop_affinity *affinity, pid_t worker);
/* Both get back what they had. Idempotent. */
void drop_affinity_scatter(struct drop_affinity *affinity);

#endif
