/* The child's steps, but for the mounts; see confine.h. */
#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

#define CAPABILITY_MAX 63 /* the kernel keeps them in 64 bits; EINVAL says where its own end */
#define SCORE_TEXT 8      /* "-1000" and room */

/* Into `text`, which has SCORE_TEXT bytes; returns the length. */
DROP_IN_CHILD static size_t print_score(int score, char *text)
{
    unsigned rest = score < 0 ? 0u - (unsigned)score : (unsigned)score, divisor = 1;
    size_t length = 0;
    if (score < 0)
        text[length++] = '-';
    while (rest / divisor >= 10)
        divisor *= 10;
    for (; divisor && length < SCORE_TEXT; divisor /= 10)
        text[length++] = (char)('0' + rest / divisor % 10);
    return length;
}

/* Another child that has changed its user at this moment, in the same memory, makes all that /proc
 * has of us root's. For a node that is not root's but may switch users, the right to pass over that
 * is kept in reserve (drop_linux_keep_capabilities): it is in force for this one call. */
DROP_IN_CHILD static int open_score(void)
{
    const char *path = "/proc/self/oom_score_adj";
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file >= 0 || errno != EACCES)
        return file;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct own[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, own) != 0)
        return -1;
    const uint32_t before = own[0].effective;
    own[0].effective |= own[0].permitted & (1u << CAP_DAC_OVERRIDE);
    if (syscall(SYS_capset, &header, own) != 0)
        return -1;
    file = open(path, O_WRONLY | O_CLOEXEC);
    int error = errno;
    own[0].effective = before;
    if (syscall(SYS_capset, &header, own) != 0) {
        error = errno;
        close(file);
        file = -1;
    }
    errno = error;
    return file;
}

/* The kernel gives the value to every process that shares the memory, except where one of them is a
 * child of vfork: then the child alone gets it. */
DROP_IN_CHILD static int adjust_score(int score)
{
    char text[SCORE_TEXT];
    size_t length = print_score(score, text);
    int file = open_score();
    if (file < 0)
        return -1;
    ssize_t written = write(file, text, length);
    int error = errno;
    close(file);
    errno = error;
    return written == (ssize_t)length ? 0 : -1;
}

DROP_IN_CHILD enum drop_spawn_step drop_confine_place(const struct drop_confinement *confinement)
{
    if (confinement->oom_score_adjust && adjust_score(confinement->oom_score_adjust) != 0)
        return DROP_SPAWN_MEMORY_PRIORITY;
    if (confinement->network >= 0 && setns(confinement->network, CLONE_NEWNET) != 0)
        return DROP_SPAWN_NETWORK;
    return drop_confine_mounts(confinement);
}

DROP_IN_CHILD enum drop_spawn_step drop_confine_limits(const struct drop_confinement *confinement)
{
    for (size_t i = 0; i < confinement->limit_count; i++) {
        const struct drop_limit *limit = &confinement->limits[i];
        struct rlimit both = {.rlim_cur = limit->value, .rlim_max = limit->value};
        if (syscall(SYS_prlimit64, 0, limit->resource, &both, NULL) != 0)
            return DROP_SPAWN_LIMITS;
    }
    return DROP_SPAWN_NONE;
}

/* Ambient ones first: they would be granted again at exec to a user other than root. Root gets all
 * of the bounding set at exec, so there that goes too, and all else at once. Others lose what is
 * permitted at exec; until then they keep it, out of force: a debugger of the same user has to
 * have as much, and this process has the node's memory still (see change_user in spawner.c). */
DROP_IN_CHILD static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct left[_LINUX_CAPABILITY_U32S_3] = {{0}, {0}};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        return -1;
    if (syscall(SYS_geteuid) == 0) {
        for (int capability = 0; capability <= CAPABILITY_MAX; capability++)
            if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EINVAL)
                return -1;
    } else if (syscall(SYS_capget, &header, left) != 0) {
        return -1;
    }
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        left[i].effective = left[i].inheritable = 0;
    return (int)syscall(SYS_capset, &header, left);
}

DROP_IN_CHILD enum drop_spawn_step
drop_confine_privileges(const struct drop_confinement *confinement)
{
    if (confinement->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return DROP_SPAWN_PRIVILEGES;
    if (confinement->no_capabilities && drop_capabilities() != 0)
        return DROP_SPAWN_CAPABILITIES;
    if (confinement->landlock >= 0 &&
        syscall(SYS_landlock_restrict_self, confinement->landlock, 0) != 0)
        return DROP_SPAWN_LANDLOCK;
    return DROP_SPAWN_NONE;
}
