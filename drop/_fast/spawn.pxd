"""Declarations of c_src/spawner.h, confine.h and recipe.h."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "<sys/types.h>" nogil:
    ctypedef int pid_t
    ctypedef unsigned int uid_t
    ctypedef unsigned int gid_t

cdef extern from "spawn_step.h" nogil:
    enum drop_spawn_step:
        DROP_SPAWN_FIND
        DROP_SPAWN_EXECUTE

    const char *drop_spawn_step_text(drop_spawn_step step)

cdef extern from "confine.h" nogil:
    enum:
        DROP_CONFINE_PATHS_MAX
        DROP_CONFINE_LIMITS_MAX

    struct drop_limit:
        int resource
        uint64_t value

    struct drop_confinement:
        int oom_score_adjust
        int network
        int landlock
        uint8_t no_new_privileges
        uint8_t no_capabilities
        uint8_t read_only
        const char *const *private_directories
        const char *private_options
        const char *const *kept
        const char *const *writable
        const drop_limit *limits
        size_t limit_count

    int drop_confine_network_create()
    int drop_confine_landlock_create(const char *const *writable)

cdef extern from "cgroup.h" nogil:
    enum:
        DROP_CGROUP_PARENTS_MAX

cdef extern from "spawner.h" nogil:
    struct drop_spawn_request:
        char **argv
        char **environment
        const char *directory
        int stream[3]
        uid_t uid
        gid_t gid
        const drop_confinement *confinement
        const void *group

    struct drop_spawn_result:
        pid_t pid
        int pidfd
        drop_spawn_step step
        int error

    int drop_spawn(const drop_spawn_request *request, drop_spawn_result *result)

cdef extern from "recipe.h" nogil:
    const char *DROP_RECIPE_CAPSULE

    struct drop_recipe:
        pass

    struct drop_recipe_parameters:
        char **argv
        char **environment
        const char *number_variable
        const char *directory
        uid_t uid
        gid_t gid
        drop_confinement confinement
        const char *const *groups
        uint32_t slots

    int drop_recipe_create(const drop_recipe_parameters *parameters, drop_recipe **recipe)
    void drop_recipe_retain(drop_recipe *recipe)
    void drop_recipe_release(drop_recipe *recipe)
    uint32_t drop_recipe_slots(const drop_recipe *recipe)
    int drop_recipe_spawn(const drop_recipe *recipe, uint32_t slot, const int *stream,
                          drop_spawn_result *result)
    void drop_recipe_kill_slot(const drop_recipe *recipe, uint32_t slot)
    uint64_t drop_recipe_oom_kills(const drop_recipe *recipe, uint32_t slot)
