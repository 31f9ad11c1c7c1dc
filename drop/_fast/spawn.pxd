"""Declarations of c_src/spawner.h."""

cdef extern from "<sys/types.h>" nogil:
    ctypedef int pid_t
    ctypedef unsigned int uid_t
    ctypedef unsigned int gid_t

cdef extern from "spawner.h" nogil:
    enum drop_spawn_step:
        DROP_SPAWN_FIND

    struct drop_spawn_request:
        char **argv
        char **environment
        const char *directory
        int stream[3]
        uid_t uid
        gid_t gid

    struct drop_spawn_result:
        pid_t pid
        int pidfd
        drop_spawn_step step
        int error

    int drop_spawn(const drop_spawn_request *request, drop_spawn_result *result)
    const char *drop_spawn_step_text(drop_spawn_step step)
