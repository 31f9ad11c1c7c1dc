/* A process's own view of the file system: a mount namespace with private directories, read-only.
 *
 * What shall stay visible or writable is taken hold of first, as a detached copy of the tree
 * (open_tree, Linux 5.2), and is put back over what has hidden it or made it read-only. A copy
 * keeps the state that it was taken in. So the order is:
 *     copies of `kept` and `writable`
 *     empty file systems over the private directories; the copies of `kept` back into them
 *     everything read-only at once (mount_setattr, Linux 5.12), the private directories not
 *     the copies of `writable` over their places */
#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The numbers are the same for all processors. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
/* As in linux/mount.h, which older systems lack and which quarrels with sys/mount.h. */
#define TREE_CLONE 1u
#define TREE_RECURSIVE 0x8000u
#define TO_FOLLOWS_LINKS 0x10u
#define FROM_IS_DESCRIPTOR 0x04u
#define ATTRIBUTE_READ_ONLY 1u

struct mount_attributes {
    uint64_t set;
    uint64_t clear;
    uint64_t propagation;
    uint64_t user_namespace;
};

/* Descriptors of the copies; those of `kept` come first. */
struct trees {
    int descriptor[DROP_CONFINE_PATHS_MAX];
    size_t count;
};

DROP_IN_CHILD static int take(struct trees *trees, const char *const *paths)
{
    for (; paths && *paths; paths++) {
        if (trees->count == DROP_CONFINE_PATHS_MAX) {
            errno = E2BIG;
            return -1;
        }
        long tree = syscall(SYS_open_tree, AT_FDCWD, *paths,
                            TREE_CLONE | TREE_RECURSIVE | (unsigned)O_CLOEXEC);
        if (tree < 0)
            return -1;
        trees->descriptor[trees->count++] = (int)tree;
    }
    return 0;
}

DROP_IN_CHILD static int put(int tree, const char *path)
{
    return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path,
                        FROM_IS_DESCRIPTOR | TO_FOLLOWS_LINKS);
}

/* Makes `path` and all above it, where they are not there. */
DROP_IN_CHILD static int make_directories(const char *path)
{
    char part[PATH_MAX];
    size_t length = 0;
    do {
        do {
            if (length == sizeof part - 1) {
                errno = ENAMETOOLONG;
                return -1;
            }
            part[length] = path[length];
            length++;
        } while (path[length] && path[length] != '/');
        part[length] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return -1;
    } while (path[length]);
    return 0;
}

DROP_IN_CHILD static int hide_directories(const struct drop_confinement *confinement)
{
    const char *const *path = confinement->private_directories;
    for (; path && *path; path++)
        if (mount("tmpfs", *path, "tmpfs", MS_NOSUID | MS_NODEV, confinement->private_options))
            return -1;
    return 0;
}

DROP_IN_CHILD static int keep(const char *const *paths, const struct trees *trees)
{
    for (size_t i = 0; paths && paths[i]; i++)
        if (make_directories(paths[i]) != 0 || put(trees->descriptor[i], paths[i]) != 0)
            return -1;
    return 0;
}

DROP_IN_CHILD static int make_read_only(const struct drop_confinement *confinement)
{
    struct mount_attributes on = {.set = ATTRIBUTE_READ_ONLY};
    struct mount_attributes off = {.clear = ATTRIBUTE_READ_ONLY};
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", TREE_RECURSIVE, &on, sizeof on) != 0)
        return -1;
    const char *const *path = confinement->private_directories;
    for (; path && *path; path++)
        if (syscall(SYS_mount_setattr, AT_FDCWD, *path, 0u, &off, sizeof off) != 0)
            return -1;
    return 0;
}

/* The namespace is cut off from the host's in both directions: what is mounted there later does not
 * come in, writable, behind our back. */
DROP_IN_CHILD enum drop_spawn_step drop_confine_mounts(const struct drop_confinement *confinement)
{
    const char *const *writable = confinement->read_only ? confinement->writable : NULL;
    struct trees trees = {.count = 0};
    if (!confinement->read_only && !confinement->private_directories)
        return DROP_SPAWN_NONE;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return DROP_SPAWN_MOUNT_NAMESPACE;
    if (take(&trees, confinement->kept) != 0)
        return DROP_SPAWN_VISIBLE_PATHS;
    const size_t kept = trees.count;
    if (take(&trees, writable) != 0)
        return DROP_SPAWN_WRITABLE_PATHS;
    if (hide_directories(confinement) != 0)
        return DROP_SPAWN_PRIVATE_DIRECTORIES;
    if (keep(confinement->kept, &trees) != 0)
        return DROP_SPAWN_VISIBLE_PATHS;
    if (confinement->read_only && make_read_only(confinement) != 0)
        return DROP_SPAWN_READ_ONLY;
    for (size_t i = kept; i < trees.count; i++)
        if (put(trees.descriptor[i], writable[i - kept]) != 0)
            return DROP_SPAWN_WRITABLE_PATHS;
    return DROP_SPAWN_NONE;
}
