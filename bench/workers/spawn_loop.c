/* The yardstick of kind exec: how fast plain C starts and reaps a program.
 *
 *     spawn_loop PARALLEL SECONDS PROGRAM [ARGUMENT ...]
 *
 * Keeps PARALLEL processes going (posix_spawn, which is vfork underneath; stdin and stdout are
 * /dev/null), prints how many were reaped per second. Nothing is written to them and nothing read:
 * less than a function of kind exec has to do. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void start(char **argv, posix_spawn_file_actions_t *actions)
{
    pid_t pid;
    if (posix_spawn(&pid, argv[0], actions, NULL, argv, environ)) {
        perror(argv[0]);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    posix_spawn_file_actions_t actions;
    if (argc < 4)
        return 2;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    double began = now(), end = began + atof(argv[2]);
    long reaped = 0;
    for (int i = atoi(argv[1]); i > 0; i--)
        start(argv + 3, &actions);
    while (now() < end) {
        if (waitpid(-1, NULL, 0) < 0)
            return 1;
        reaped++;
        start(argv + 3, &actions);
    }
    printf("%.1f\n", (double)reaped / (now() - began));
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}
