/* Starts a program at the cost of vfork: the child borrows the parent's memory until it executes.
 *
 * fork(2) of a node copies its page tables, which takes milliseconds once the node is large. Here
 * only the calling thread stops, for the fraction of a millisecond until execve; every other thread
 * runs on. What the child finds wrong it writes into the parent's own memory, so the caller learns
 * the failing step and its errno.
 *
 * The worker gets: a session and process group of its own, no blocked and no ignored signal,
 * descriptors 0, 1 and 2 and no other, its directory, its user, its control groups, what confine.h
 * takes from it, and SIGKILL when its parent ends.
 *
 * The last point has a trap: PDEATHSIG is sent when the *thread* that spawned ends, not the
 * process. Call this from a thread that lives as long as the workers may. (A program that is setuid
 * or has file capabilities loses it at exec.)
 *
 * Needs Linux 5.3 (pidfd); any thread may call it, several at a time. 64-bit kernels only: the
 * calls for users and groups are the ones with 32-bit ids there. */
#ifndef DROP_SPAWNER_H
#define DROP_SPAWNER_H

#include <sys/types.h>

#include "cgroup.h"
#include "confine.h"
#include "spawn_step.h"

#define DROP_SPAWN_UNCHANGED ((uid_t)-1) /* also as a gid_t */

/* Everything is borrowed for the duration of the call. The descriptors stay the caller's; they
 * should be O_CLOEXEC, or processes that others start at the same time inherit them. */
struct drop_spawn_request {
    char *const *argv; /* NULL-terminated; argv[0] is looked up in the PATH of `environment` */
    char *const *environment; /* NULL-terminated NAME=VALUE */
    const char *directory;    /* NULL: the parent's */
    int stream[3];            /* stdin, stdout, stderr */
    uid_t uid;                /* DROP_SPAWN_UNCHANGED, or with the next: takes privileges */
    gid_t gid;                /* where one of both is given, supplementary groups are given up */
    const struct drop_confinement *confinement; /* NULL: nothing more is given up */
    const struct drop_cgroup_slot *group;       /* NULL: the parent's */
};

struct drop_spawn_result {
    pid_t pid; /* also its process group; it is not reaped: that is the caller's */
    int pidfd; /* the caller's to close; O_CLOEXEC */
    enum drop_spawn_step step;
    int error; /* errno of the step, 0 when a process runs the program */
};

/* Returns result->error. On failure there is no process left and no descriptor open. */
int drop_spawn(const struct drop_spawn_request *request, struct drop_spawn_result *result);

#endif
