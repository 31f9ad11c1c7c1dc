/* What a new process gives up before it runs its program: the steps of a child of drop_spawn().
 *
 * The child borrows its parent's memory, so each step is a few raw system calls: nothing is
 * allocated, nothing is searched for, nothing of the C library's own state changes. Whether this
 * kernel and user can do a step at all is found out before (drop/host/confinement.py); here a step
 * that fails is a failed start, never a protection that is silently missing.
 *
 * Four groups of steps, since each needs the rights that the next one gives away:
 *     drop_confine_place()       as the parent's user: out-of-memory priority, network, mounts
 *     drop_confine_limits()      as the parent's user: resource limits
 *     (the user changes)
 *     drop_confine_privileges()  as the worker's user: no new privileges, capabilities, landlock */
#ifndef DROP_CONFINE_H
#define DROP_CONFINE_H

#include <stddef.h>
#include <stdint.h>

#include "spawn_step.h"

#define DROP_CONFINE_PATHS_MAX 128u /* of `kept` and `writable` together; each is a descriptor */
#define DROP_CONFINE_LIMITS_MAX 16u

struct drop_limit {
    int resource; /* RLIMIT_NOFILE, ... */
    uint64_t value; /* soft and hard */
};

/* Lists of paths end with NULL and hold absolute paths; a NULL list is empty. All is borrowed. */
struct drop_confinement {
    int oom_score_adjust; /* how eagerly it is ended when memory is short; 0: as its parent */
    int network;          /* a network namespace to enter, or -1 */
    int landlock;         /* a landlock ruleset to put on, or -1 */
    uint8_t no_new_privileges;
    uint8_t no_capabilities;
    uint8_t read_only; /* the whole file system, but for `writable` and `private_directories` */
    const char *const *private_directories; /* each becomes an empty file system of its own */
    const char *private_options;            /* of those: "size=64m,mode=1777" */
    const char *const *kept;     /* directories that stay visible inside private ones */
    const char *const *writable; /* exceptions of `read_only` */
    const struct drop_limit *limits;
    size_t limit_count;
};

/* Nothing is given up. */
#define DROP_CONFINE_NOTHING {.network = -1, .landlock = -1}

/* Each returns the step that failed, with errno, or DROP_SPAWN_NONE. In the child only. */
enum drop_spawn_step drop_confine_place(const struct drop_confinement *confinement);
enum drop_spawn_step drop_confine_limits(const struct drop_confinement *confinement);
enum drop_spawn_step drop_confine_privileges(const struct drop_confinement *confinement);

/* The part of drop_confine_place() that makes a mount namespace; see confine_mounts.c. */
enum drop_spawn_step drop_confine_mounts(const struct drop_confinement *confinement);

/* For the parent, before there is a child: makes what children enter. Both give a descriptor that
 * is the caller's to close (O_CLOEXEC), or -1 with errno. */

/* A network namespace with nothing but a loopback interface, which is up. Making one costs most of
 * a millisecond, entering one some microseconds, so the workers of a pool share one. */
int drop_confine_network_create(void);

/* A landlock ruleset that lets nothing be written, made or removed except beneath `writable` (NULL
 * at its end) and in existing files of /dev. Reading and executing are not touched. */
int drop_confine_landlock_create(const char *const *writable);

#endif
