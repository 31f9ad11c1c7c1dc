#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"
#include "spawn_clone.h"

/* glibc 2.17 does not know them */
#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_CLEAR_ALL 4
#endif

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* bytes of the child's stack: some frames of small functions; the page below it is a guard */
#define CHILD_STACK (64u << 10)
#define GUARD 4096u
#define SIGNAL_MAX 64

struct child {
    const struct drop_spawn_request *request;
    const char *program;
    pid_t parent;
    int group; /* the control group of version 2 to join by hand, or -1 */
    enum drop_spawn_step step; /* written by the child */
    int error;
};

/* A signal that arrived with a handler of the parent's in place would run that handler in the
 * shared memory, so all are blocked until the handlers are gone. execve resets handlers by itself,
 * but leaves ignored signals ignored, and a worker that ignores SIGPIPE (as Python does) never
 * notices that nobody reads it. */
DROP_IN_CHILD static void reset_signals(void)
{
    /* The system call, for sigaction() refuses the two signals that are the C library's own, and
     * its posix_spawn leaves those ignored in whoever was started by it. All zero is SIG_DFL. */
    const unsigned long by_default[4] = {0};
    for (int number = 1; number <= SIGNAL_MAX; number++)
        syscall(SYS_rt_sigaction, number, by_default, NULL, SIGNAL_MAX / 8);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A source below 3 moves out of the way first: it may be the place where another one goes. */
DROP_IN_CHILD static int connect_streams(const int *stream)
{
    int source[3];
    for (int i = 0; i < 3; i++) {
        source[i] = stream[i];
        if (source[i] >= 0 && source[i] < 3)
            source[i] = fcntl(source[i], F_DUPFD_CLOEXEC, 3);
    }
    for (int i = 0; i < 3; i++)
        if (dup2(source[i], i) < 0)
            return -1;
    return 0;
}

/* Kernels before 5.9 have no close_range; there the numbers up to the limit are closed one by one.
 */
DROP_IN_CHILD static void close_the_rest(void)
{
    if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
        return;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
        limit.rlim_cur = INT_MAX;
    for (int descriptor = 3; descriptor < (int)limit.rlim_cur; descriptor++)
        close(descriptor);
}

/* Raw calls: the C library's setuid makes every thread of the process change its user, and here
 * "the process" is, as far as its memory tells, the parent.
 *
 * A process of another user that shares the node's memory looks like a gift to everything else of
 * that user, which may attach to it as a debugger. It may not: whoever attaches has to have all
 * that is permitted to it, and so it keeps the node's capabilities, out of force, until it executes
 * something, which ends them. (A change of user also makes the memory undumpable, which forbids
 * attaching too; but another thread, whose child is done, may have set that back by then: see
 * keep_dumpable.) */
DROP_IN_CHILD static enum drop_spawn_step change_user(uid_t uid, gid_t gid)
{
    size_t count = gid == DROP_SPAWN_UNCHANGED ? 0 : 1;
    if (uid == DROP_SPAWN_UNCHANGED && count == 0)
        return DROP_SPAWN_NONE;
    if (syscall(SYS_setgroups, count, &gid) != 0)
        return DROP_SPAWN_GROUPS;
    if (count && syscall(SYS_setresgid, gid, gid, gid) != 0)
        return DROP_SPAWN_GROUP;
    if (uid == DROP_SPAWN_UNCHANGED)
        return DROP_SPAWN_NONE;
    /* With these kept, ambient ones would be too, and be given to what it executes. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        return DROP_SPAWN_USER;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || syscall(SYS_setresuid, uid, uid, uid) != 0)
        return DROP_SPAWN_USER;
    return DROP_SPAWN_NONE;
}

/* Behind the change of user, which would clear it. A parent that died before this call sends
 * nothing any more, hence the look at who the parent is now. */
DROP_IN_CHILD static int die_with_parent(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return -1;
    if (getppid() == parent)
        return 0;
    errno = ESRCH;
    return -1;
}

/* Returns 0 when "0", which means the writing thread or process, went into the file of a group. */
DROP_IN_CHILD static int join_group(int file)
{
    return write(file, "0", 1) == 1 ? 0 : -1;
}

DROP_IN_CHILD static enum drop_spawn_step join_groups(const struct child *child)
{
    const struct drop_cgroup_slot *group = child->request->group;
    for (size_t i = 0; group && i < group->count; i++)
        if (join_group(group->tasks[i]) != 0)
            return DROP_SPAWN_JOIN_GROUP;
    if (child->group < 0)
        return DROP_SPAWN_NONE;
    int file = openat(child->group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return file >= 0 && join_group(file) == 0 ? DROP_SPAWN_NONE : DROP_SPAWN_JOIN_GROUP;
}

/* The directory is entered as the worker's user, so that one it may not enter is an error here and
 * not a riddle later. */
DROP_IN_CHILD static enum drop_spawn_step give_up(const struct drop_spawn_request *request)
{
    const struct drop_confinement *confinement = request->confinement;
    enum drop_spawn_step failed = DROP_SPAWN_NONE;
    if (confinement)
        failed = drop_confine_place(confinement);
    if (!failed && confinement)
        failed = drop_confine_limits(confinement);
    if (!failed)
        failed = change_user(request->uid, request->gid);
    if (!failed && request->directory && chdir(request->directory) != 0)
        return DROP_SPAWN_DIRECTORY;
    if (!failed && confinement)
        failed = drop_confine_privileges(confinement);
    return failed;
}

/* Returns only when a step fails; says which one. Descriptors of the parent's are in use until the
 * last moment. */
DROP_IN_CHILD static enum drop_spawn_step become(const struct child *child)
{
    const struct drop_spawn_request *request = child->request;
    reset_signals();
    if (setsid() < 0)
        return DROP_SPAWN_SESSION;
    if (connect_streams(request->stream) != 0)
        return DROP_SPAWN_STREAMS;
    enum drop_spawn_step failed = join_groups(child);
    if (!failed)
        failed = give_up(request);
    if (failed)
        return failed;
    if (die_with_parent(child->parent) != 0)
        return DROP_SPAWN_PARENT;
    close_the_rest();
    execve(child->program, request->argv, request->environment);
    return DROP_SPAWN_EXECUTE;
}

/* Returning ends the child with _exit(2) semantics: nothing that atexit registered is run. */
DROP_IN_CHILD static int child_main(void *argument)
{
    struct child *child = argument;
    child->step = become(child);
    child->error = errno;
    return 127;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Clones with all signals blocked; fills in the result. */
static void run_child(struct child *child, char *stack, struct drop_spawn_result *result)
{
    const struct drop_cgroup_slot *slot = child->request->group;
    int group = slot ? slot->directory : -1, *pidfd = &result->pidfd;
    result->pid = drop_spawn_clone(child_main, child, stack + GUARD, CHILD_STACK, group, pidfd);
    if (result->pid < 0 && group >= 0 && errno == ENOSYS) {
        child->group = group;
        result->pid = drop_spawn_clone(child_main, child, stack + GUARD, CHILD_STACK, -1, pidfd);
    }
    if (result->pid < 0) {
        child->step = DROP_SPAWN_CLONE;
        child->error = errno;
        return;
    }
    if (child->error == 0 && result->pidfd < 0) {
        /* An older kernel ignores flags that it does not know. */
        kill(result->pid, SIGKILL);
        child->step = DROP_SPAWN_CLONE;
        child->error = ENOSYS;
    }
    if (child->error) {
        reap(result->pid);
        if (result->pidfd >= 0)
            close(result->pidfd);
        result->pid = -1;
        result->pidfd = -1;
    }
}

/* A child that changes its user makes the memory it borrowed undumpable: the node would leave no
 * core behind when it crashes, and /proc would show its files as root's. By the time clone returns,
 * the child has its own memory. */
static void keep_dumpable(int before)
{
    if (before == 1 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void spawn_found(struct child *child, struct drop_spawn_result *result)
{
    char *stack = mmap(NULL, GUARD + CHILD_STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, GUARD, PROT_NONE) != 0) {
        child->step = DROP_SPAWN_CLONE;
        child->error = errno;
    } else {
        int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        run_child(child, stack, result);
        keep_dumpable(dumpable);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (stack != MAP_FAILED)
        munmap(stack, GUARD + CHILD_STACK);
}

/* Finds the program as the child would, from the directory that the child will be in. */
static void find(struct child *child, char *found, size_t size)
{
    const struct drop_spawn_request *request = child->request;
    int directory = AT_FDCWD;
    if (request->directory) {
        directory = open(request->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0) {
            child->step = DROP_SPAWN_DIRECTORY;
            child->error = errno;
            return;
        }
    }
    child->error = drop_program_find(request->argv[0], drop_program_path(request->environment),
                                     directory, found, size);
    if (child->error)
        child->step = DROP_SPAWN_FIND;
    if (directory != AT_FDCWD)
        close(directory);
}

int drop_spawn(const struct drop_spawn_request *request, struct drop_spawn_result *result)
{
    char program[PATH_MAX];
    struct child child = {
        .request = request, .program = program, .parent = getpid(), .group = -1};
    *result = (struct drop_spawn_result){.pid = -1, .pidfd = -1};
    find(&child, program, sizeof program);
    if (!child.error)
        spawn_found(&child, result);
    result->step = child.step;
    result->error = child.error;
    return child.error;
}
