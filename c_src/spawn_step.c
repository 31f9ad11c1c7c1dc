/* The words for each step; see spawn_step.h. */
#include "spawn_step.h"

const char *drop_spawn_step_text(enum drop_spawn_step step)
{
    switch (step) {
    case DROP_SPAWN_NONE: return "nothing failed";
    case DROP_SPAWN_FIND: return "cannot find the program in PATH";
    case DROP_SPAWN_FIND_GROUP: return "cannot open the control group";
    case DROP_SPAWN_CLONE: return "cannot create a process";
    case DROP_SPAWN_SESSION: return "cannot open a session";
    case DROP_SPAWN_STREAMS: return "cannot connect stdin, stdout and stderr";
    case DROP_SPAWN_JOIN_GROUP: return "cannot join the control group";
    case DROP_SPAWN_MEMORY_PRIORITY: return "cannot set the out-of-memory priority";
    case DROP_SPAWN_NETWORK: return "cannot leave the network";
    case DROP_SPAWN_MOUNT_NAMESPACE: return "cannot make a mount namespace";
    case DROP_SPAWN_VISIBLE_PATHS: return "cannot keep the function's directory visible";
    case DROP_SPAWN_PRIVATE_DIRECTORIES: return "cannot mount a private /tmp";
    case DROP_SPAWN_READ_ONLY: return "cannot make the file system read-only";
    case DROP_SPAWN_WRITABLE_PATHS: return "cannot keep a path writable";
    case DROP_SPAWN_LIMITS: return "cannot set the resource limits";
    case DROP_SPAWN_GROUPS: return "cannot give up supplementary groups";
    case DROP_SPAWN_GROUP: return "cannot change the group";
    case DROP_SPAWN_USER: return "cannot change the user";
    case DROP_SPAWN_DIRECTORY: return "cannot enter the directory";
    case DROP_SPAWN_PRIVILEGES: return "cannot give up new privileges";
    case DROP_SPAWN_CAPABILITIES: return "cannot give up capabilities";
    case DROP_SPAWN_LANDLOCK: return "cannot put on the landlock rules";
    case DROP_SPAWN_PARENT: return "cannot tie the process to its parent";
    case DROP_SPAWN_EXECUTE: return "cannot execute";
    }
    return "unknown step";
}
