/* Spawning real programs: descriptors, signals, failing steps, and nothing left behind. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "spawner.h"

static char *const environment[] = {"PATH=/usr/bin:/bin", "MARK=seen", NULL};

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Starts `sh -c script` with a pipe for stdout; its output goes to `out`, the exit code is
 * returned. */
static int run_script(char *script, char *out, size_t size)
{
    char *const argv[] = {"sh", "-c", script, NULL};
    struct drop_spawn_result result;
    int pipe_fds[2], status = -1, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || pipe2(pipe_fds, O_CLOEXEC) != 0)
        abort();
    struct drop_spawn_request request = {
        .argv = argv,
        .environment = environment,
        .stream = {null, pipe_fds[1], null},
        .uid = DROP_SPAWN_UNCHANGED,
        .gid = DROP_SPAWN_UNCHANGED,
    };
    CHECK_EQUAL(drop_spawn(&request, &result), 0);
    close(pipe_fds[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(pipe_fds[0], out + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    out[length] = '\0';
    close(pipe_fds[0]);
    close(null);
    CHECK_EQUAL(waitpid(result.pid, &status, 0), result.pid);
    CHECK(fcntl(result.pidfd, F_GETFD) == FD_CLOEXEC);
    close(result.pidfd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct drop_spawn_result fail(char *const *argv, const char *directory, int fd)
{
    struct drop_spawn_result result;
    struct drop_spawn_request request = {
        .argv = argv,
        .environment = environment,
        .directory = directory,
        .stream = {fd, fd, fd},
        .uid = DROP_SPAWN_UNCHANGED,
        .gid = DROP_SPAWN_UNCHANGED,
    };
    CHECK(drop_spawn(&request, &result) != 0);
    CHECK_EQUAL(result.pid, -1);
    CHECK_EQUAL(result.pidfd, -1);
    return result;
}

static void test_output_and_exit_code(void)
{
    char out[256];
    CHECK_EQUAL(run_script("echo $MARK; exit 3", out, sizeof out), 3);
    CHECK(strcmp(out, "seen\n") == 0);
}

/* 0, 1, 2 and the one that ls has the directory open with. */
static void test_no_other_descriptor_is_inherited(void)
{
    char out[256];
    int open_one = open("/dev/null", O_RDONLY); /* not O_CLOEXEC */
    CHECK_EQUAL(run_script("ls /proc/self/fd | wc -l", out, sizeof out), 0);
    CHECK_EQUAL(atoi(out), 4);
    close(open_one);
}

static void test_signals_are_as_by_default(void)
{
    char out[256];
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGPIPE, SIG_IGN);
    CHECK_EQUAL(
        run_script("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f 2 | uniq", out, sizeof out),
        0);
    CHECK_BYTES(out, strlen(out), "0000000000000000\n");
    signal(SIGPIPE, SIG_DFL);
    sigset_t now;
    sigprocmask(SIG_SETMASK, &before, &now);
    CHECK(sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGINT) == 0);
}

static void test_failing_steps(void)
{
    char *const missing[] = {"no-such-program", NULL}, *const no_file[] = {"./no-such", NULL};
    char *const empty[] = {"", NULL}, *const ok[] = {"true", NULL}, *const etc[] = {"/etc", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), before = count_descriptors();
    struct drop_spawn_result result = fail(missing, NULL, null);
    CHECK(result.step == DROP_SPAWN_FIND && result.error == ENOENT);
    result = fail(empty, NULL, null);
    CHECK(result.step == DROP_SPAWN_FIND && result.error == ENOENT);
    result = fail(no_file, NULL, null);
    CHECK(result.step == DROP_SPAWN_EXECUTE && result.error == ENOENT);
    result = fail(etc, NULL, null);
    CHECK(result.step == DROP_SPAWN_EXECUTE && result.error == EACCES);
    result = fail(ok, "/no/such/directory", null);
    CHECK(result.step == DROP_SPAWN_DIRECTORY && result.error == ENOENT);
    result = fail(ok, NULL, -1);
    CHECK(result.step == DROP_SPAWN_STREAMS && result.error == EBADF);
    CHECK_EQUAL(count_descriptors(), before);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    close(null);
}

/* A file without #! is not given to a shell, as execvp would. */
static void test_script_without_interpreter(void)
{
    char path[] = "/tmp/drop-test-spawner-XXXXXX";
    int fd = mkstemp(path), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK(write(fd, "exit 0\n", 7) == 7);
    fchmod(fd, 0755);
    close(fd);
    char *const argv[] = {path, NULL};
    struct drop_spawn_result result = fail(argv, NULL, null);
    CHECK(result.step == DROP_SPAWN_EXECUTE && result.error == ENOEXEC);
    unlink(path);
    close(null);
}

/* The three streams come from each other's places; stdout and stdin of this process are put aside.
 */
static void test_streams_that_cross(void)
{
    char *const argv[] = {"sh", "-c", "read line; echo out $line; echo err >&2", NULL};
    int in[2], out[2], saved[2] = {dup(0), dup(1)};
    struct drop_spawn_result result;
    char text[64] = "";
    REQUIRE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    dup2(out[1], 0); /* descriptor 0 is to become 1 and 2, descriptor 1 is to become 0 */
    dup2(in[0], 1);
    struct drop_spawn_request request = {.argv = argv,
                                         .environment = environment,
                                         .stream = {1, 0, 0},
                                         .uid = DROP_SPAWN_UNCHANGED,
                                         .gid = DROP_SPAWN_UNCHANGED};
    int error = drop_spawn(&request, &result);
    dup2(saved[0], 0);
    dup2(saved[1], 1);
    close(out[1]);
    CHECK_EQUAL(error, 0);
    CHECK(write(in[1], "hello\n", 6) == 6);
    size_t length = 0;
    for (ssize_t got; (got = read(out[0], text + length, sizeof text - length)) > 0;)
        length += (size_t)got;
    CHECK_BYTES(text, length, "out hello\nerr\n");
    waitpid(result.pid, NULL, 0);
    int rest[] = {in[0], in[1], out[0], saved[0], saved[1], result.pidfd};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        close(rest[i]);
}

int main(void)
{
    RUN(test_output_and_exit_code);
    RUN(test_no_other_descriptor_is_inherited);
    RUN(test_signals_are_as_by_default);
    RUN(test_failing_steps);
    RUN(test_script_without_interpreter);
    RUN(test_streams_that_cross);
    return check_summary();
}
