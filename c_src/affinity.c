/* sched_setaffinity, and what was before; see affinity.h. */
#define _GNU_SOURCE
#include "affinity.h"

#include <stddef.h>

bool drop_affinity_gather(struct drop_affinity *affinity, pid_t worker)
{
    cpu_set_t here;
    int current = sched_getcpu();
    size_t cpu = current < 0 ? CPU_SETSIZE : (size_t)current;
    if (affinity->worker || worker <= 0 || cpu >= CPU_SETSIZE
        || sched_getaffinity(0, sizeof affinity->reactor_before, &affinity->reactor_before)
        || sched_getaffinity(worker, sizeof affinity->worker_before, &affinity->worker_before)
        || CPU_COUNT(&affinity->reactor_before) < 2 || !CPU_ISSET(cpu, &affinity->worker_before))
        return false;
    CPU_ZERO(&here);
    CPU_SET(cpu, &here);
    if (sched_setaffinity(worker, sizeof here, &here))
        return false;
    if (sched_setaffinity(0, sizeof here, &here)) {
        sched_setaffinity(worker, sizeof affinity->worker_before, &affinity->worker_before);
        return false;
    }
    affinity->worker = worker;
    return true;
}

void drop_affinity_scatter(struct drop_affinity *affinity)
{
    if (!affinity->worker)
        return;
    sched_setaffinity(0, sizeof affinity->reactor_before, &affinity->reactor_before);
    sched_setaffinity(affinity->worker, sizeof affinity->worker_before, &affinity->worker_before);
    affinity->worker = 0;
}
