/* Control groups as the starter of processes needs them: join one, kill what is in one, count what
 * the kernel killed in one. Making and limiting them is drop/host/cgroups.py.
 *
 * A slot is a directory in each of several hierarchies: "PARENT/NUMBER" for every PARENT of a list.
 * Version 1 has a hierarchy for each controller, version 2 has one for all; which of both a
 * directory belongs to is seen from its files. Descriptors are opened for a moment only: held, they
 * would be six for each worker. */
#ifndef DROP_CGROUP_H
#define DROP_CGROUP_H

#include <stddef.h>
#include <stdint.h>

#define DROP_CGROUP_PARENTS_MAX 8u /* memory, pids and cpu of version 1, with room */

/* What a child joins. Version 1: it writes "0" to each of `tasks`, which moves the writing thread.
 * Version 2: it is cloned into `directory`. */
struct drop_cgroup_slot {
    int tasks[DROP_CGROUP_PARENTS_MAX];
    size_t count;
    int directory; /* -1: none */
};

#define DROP_CGROUP_NO_SLOT {.count = 0, .directory = -1}

/* Opens a slot of each parent (NULL at the end of the list, which may be NULL). Returns 0, or an
 * errno with nothing open. */
int drop_cgroup_open(const char *const *parents, uint32_t number, struct drop_cgroup_slot *slot);
void drop_cgroup_close(struct drop_cgroup_slot *slot);

/* Sends SIGKILL to every process of the group at this path, and to those that they start meanwhile.
 * Waits for none of them to end. */
void drop_cgroup_kill(const char *group);

/* The file in which a group and those below it count what was killed for lack of memory; NULL where
 * the controller is another one. */
const char *drop_cgroup_counter(const char *parent);

/* How often the kernel has killed a process of the group for lack of memory; 0 where the group or
 * the file is not there. */
uint64_t drop_cgroup_oom_kills(const char *group, const char *counter);

#endif
