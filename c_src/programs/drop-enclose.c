/* drop-enclose: runs a container runtime so that nothing of the container outlives this process.
 *
 *     drop-enclose [-g FILE]... [-u DIR] -s DIR -z MIB [-l LOWER] PROGRAM [ARGUMENT]...
 *
 * PROGRAM (crun, runc) becomes the first process of a process namespace. When that one ends, the
 * kernel kills everything below it, whatever sessions or groups it hides in; and it ends when this
 * process does, by PDEATHSIG. So killing this process ends the container, and a node that dies
 * takes its containers with it. The same holds for files: the runtime's state and what the
 * container writes live in a tmpfs of a private mount namespace, and end with it.
 *
 *   -g FILE   writes "0" to FILE, the cgroup.procs of a control group, for PROGRAM; repeatable
 *   -u DIR    unmounts DIR, for PROGRAM alone
 *   -s DIR    mounts a tmpfs there: DIR/state for the runtime, DIR/pid for the container's pid
 *   -z MIB    its size, the bound of all that the container writes
 *   -l LOWER  DIR/root is LOWER, and what is written to it goes to the tmpfs
 *
 * Ends as PROGRAM does, by the same code or signal; 125 when there is no PROGRAM to speak of. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILED 125     /* as podman and docker say that it was not the program that failed */
#define GROUPS_MAX 16  /* control groups to enter: one per hierarchy of v1, of which 13 exist */
#define STATUS_MAX 4096 /* bytes of /proc/PID/status that are read; signals are in the first 1 k */
#define INODES_PER_MIB 1024
#define LOOK_MS 2    /* between two looks for the container's number */
#define START_MS 500 /* for the runtime to write it down: twenty times what a start takes */

struct request {
    const char *group[GROUPS_MAX];
    int groups;
    const char *unmount;
    const char *scratch;
    const char *size;
    const char *lower;
    char **program;
};

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("drop-enclose: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (error)
        fprintf(stderr, ": %s", strerror(error));
    fputc('\n', stderr);
    _exit(FAILED);
}

static struct request parse(int count, char **words)
{
    struct request request = {0};
    int option;
    while ((option = getopt(count, words, "+g:u:s:z:l:")) != -1) {
        switch (option) {
        case 'g':
            if (request.groups == GROUPS_MAX)
                fail("more than %d control groups", GROUPS_MAX);
            request.group[request.groups++] = optarg;
            break;
        case 'u': request.unmount = optarg; break;
        case 's': request.scratch = optarg; break;
        case 'z': request.size = optarg; break;
        case 'l': request.lower = optarg; break;
        default: errno = 0; fail("unknown option; see the head of its source");
        }
    }
    request.program = words + optind;
    errno = 0;
    if (!request.scratch || !request.size || strtoul(request.size, NULL, 10) == 0)
        fail("-s DIR and -z MIB are needed");
    if (!request.program[0])
        fail("a program is needed");
    return request;
}

/* The layers are named relative to the tmpfs: a path with a comma or colon would need escapes, and
 * the container's /proc/mounts would show it. */
static void make_root(const struct request *request)
{
    struct stat lower;
    if (stat(request->lower, &lower) != 0)
        fail("cannot look at %s", request->lower);
    if (mkdir("lower", 0755) != 0 || mkdir("upper", 0755) != 0 || mkdir("work", 0700) != 0 ||
        mkdir("root", 0755) != 0)
        fail("cannot make directories in %s", request->scratch);
    /* The root directory of an overlay has the owner and mode of the upper one. */
    if (chown("upper", lower.st_uid, lower.st_gid) != 0 || chmod("upper", lower.st_mode) != 0)
        fail("cannot prepare %s/upper", request->scratch);
    if (mount(request->lower, "lower", NULL, MS_BIND, NULL) != 0)
        fail("cannot mount %s", request->lower);
    if (mount("overlay", "root", "overlay", MS_NODEV,
              "lowerdir=lower,upperdir=upper,workdir=work") != 0)
        fail("cannot mount an overlay on %s", request->lower);
}

/* Slave, not private: what the host unmounts later must not stay busy here. */
static void make_mounts(const struct request *request)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        fail("cannot separate the mounts from the host's");
    if (request->unmount && umount2(request->unmount, MNT_DETACH) != 0)
        fail("cannot unmount %s", request->unmount);
    unsigned long size = strtoul(request->size, NULL, 10);
    char options[96];
    snprintf(options, sizeof options, "mode=0700,size=%luM,nr_inodes=%lu", size,
             size * INODES_PER_MIB);
    if (mount("tmpfs", request->scratch, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        fail("cannot mount a tmpfs at %s", request->scratch);
    if (chdir(request->scratch) != 0 || mkdir("state", 0700) != 0)
        fail("cannot make %s/state", request->scratch);
    if (request->lower)
        make_root(request);
}

static void enter(const char *group)
{
    int procs = open(group, O_WRONLY | O_CLOEXEC);
    if (procs < 0 || write(procs, "0", 1) != 1)
        fail("cannot enter the control group %s", group);
    close(procs);
}

/* PDEATHSIG says nothing about a parent that is dead already, and from here the parent has no
 * number to compare. But it alone holds the other end of `alive`. */
static void die_with_parent(int alive)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        fail("cannot tie the program to its parent");
    struct pollfd hangup = {.fd = alive};
    if (poll(&hangup, 1, 0) != 0)
        _exit(FAILED);
}

__attribute__((noreturn)) static void run(const struct request *request, int alive)
{
    die_with_parent(alive);
    for (int i = 0; i < request->groups; i++)
        enter(request->group[i]);
    /* Processes are numbered anew here, so the host's /proc would name the wrong ones. */
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
        fail("cannot mount /proc");
    execv(request->program[0], request->program);
    fail("cannot execute %s", request->program[0]);
}

static unsigned long long mask_of(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

static ssize_t read_file(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = read(file, text, size - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return length;
}

enum fate { LIVES, DIES, UNKNOWN };

/* The runtime passes a signal on to the container's first process, and for that one the kernel
 * drops every signal that it has not asked for. Outside of a container such a program would be dead
 * by now, and in it would go on until somebody loses patience and sends SIGKILL. So whether it has
 * asked is looked up; unknown while the container has no number. */
static enum fate fate_of(int number)
{
    char text[STATUS_MAX], path[64];
    long pid = read_file("pid", text, sizeof text) > 0 ? strtol(text, NULL, 10) : 0;
    if (pid <= 0)
        return UNKNOWN;
    snprintf(path, sizeof path, "/proc/%ld/status", pid);
    if (read_file(path, text, sizeof text) <= 0)
        return LIVES; /* it has ended, and the runtime is about to say how */
    unsigned long long asked =
        mask_of(text, "SigBlk:") | mask_of(text, "SigIgn:") | mask_of(text, "SigCgt:");
    return asked >> (number - 1) & 1 ? LIVES : DIES;
}

/* Without a core of this program, which has nothing to tell. */
__attribute__((noreturn)) static void die_of(int number)
{
    const struct rlimit none = {0, 0};
    sigset_t set;
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + number);
}

__attribute__((noreturn)) static void end_like(int status, int died_of)
{
    if (died_of)
        die_of(died_of);
    if (WIFSIGNALED(status))
        die_of(WTERMSIG(status));
    _exit(WEXITSTATUS(status));
}

/* The runtime writes the container's number down when the program runs already, so a program can be
 * at work, and get a signal, a moment before it has one. One that has none for so long is still
 * being started, and ends as any process would that has not asked for the signal. */
__attribute__((noreturn)) static void wait_for(pid_t program, const sigset_t *signals)
{
    const struct timespec look = {0, LOOK_MS * 1000000L};
    int undecided = 0; /* a signal whose effect is not known yet */
    int looks = 0;
    int died_of = 0;
    for (;;) {
        int number = undecided ? sigtimedwait(signals, NULL, &look) : sigwaitinfo(signals, NULL);
        int status;
        if (number == SIGCHLD && waitpid(program, &status, WNOHANG) == program)
            end_like(status, died_of);
        if (number > 0 && number != SIGCHLD && !undecided) {
            undecided = number;
            looks = START_MS / LOOK_MS;
        }
        if (died_of || !undecided)
            continue;
        enum fate fate = fate_of(undecided);
        if (fate == DIES || (fate == UNKNOWN && looks-- == 0)) {
            died_of = undecided;
            kill(program, SIGKILL);
        }
        if (fate != UNKNOWN || died_of)
            undecided = 0;
    }
}

int main(int count, char **words)
{
    struct request request = parse(count, words);
    sigset_t signals, before;
    sigemptyset(&signals);
    for (const int *each = (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, 0}; *each; each++)
        sigaddset(&signals, *each);
    sigprocmask(SIG_BLOCK, &signals, &before);
    int alive[2];
    if (pipe2(alive, O_CLOEXEC) != 0)
        fail("cannot make a pipe");
    if (unshare(CLONE_NEWNS | CLONE_NEWPID) != 0)
        fail("cannot make namespaces");
    make_mounts(&request);
    pid_t program = fork();
    if (program < 0)
        fail("cannot make a process");
    if (program == 0) {
        close(alive[1]);
        sigprocmask(SIG_SETMASK, &before, NULL);
        run(&request, alive[0]);
    }
    /* The pipes are the container's: a second holder would hide that it has closed them. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    wait_for(program, &signals);
}
