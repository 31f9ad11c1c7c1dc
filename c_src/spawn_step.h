/* The steps between "start this" and a running program: their names, in the order they happen. */
#ifndef DROP_SPAWN_STEP_H
#define DROP_SPAWN_STEP_H

enum drop_spawn_step {
    DROP_SPAWN_NONE, /* nothing failed */
    DROP_SPAWN_FIND,
    DROP_SPAWN_FIND_GROUP,
    DROP_SPAWN_CLONE,
    DROP_SPAWN_SESSION,
    DROP_SPAWN_STREAMS,
    DROP_SPAWN_JOIN_GROUP,
    DROP_SPAWN_MEMORY_PRIORITY,
    DROP_SPAWN_NETWORK,
    DROP_SPAWN_MOUNT_NAMESPACE,
    DROP_SPAWN_VISIBLE_PATHS,
    DROP_SPAWN_PRIVATE_DIRECTORIES,
    DROP_SPAWN_READ_ONLY,
    DROP_SPAWN_WRITABLE_PATHS,
    DROP_SPAWN_LIMITS,
    DROP_SPAWN_GROUPS,
    DROP_SPAWN_GROUP,
    DROP_SPAWN_USER,
    DROP_SPAWN_DIRECTORY,
    DROP_SPAWN_PRIVILEGES,
    DROP_SPAWN_CAPABILITIES,
    DROP_SPAWN_LANDLOCK,
    DROP_SPAWN_PARENT,
    DROP_SPAWN_EXECUTE,
};

/* What was being done, to be followed by the reason: "cannot execute", "cannot enter the
 * directory". */
const char *drop_spawn_step_text(enum drop_spawn_step step);

/* Child code runs in the parent's memory on a stack that the sanitizer has never heard of. */
#define DROP_IN_CHILD __attribute__((no_sanitize("address"), noinline))

#endif
