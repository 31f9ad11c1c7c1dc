/* Drives one `line` function over pipes, a window of messages outstanding, and prints its rate and
 * the CPU time of the function, which does not depend on what else the machine does:
 *
 *     drive WINDOW SECONDS COMMAND ARGUMENT...
 *
 * Every answer is compared with its message: the functions under test echo. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE 101u /* bytes of a message with its newline */
#define WINDOW_MAX 512u /* what a pipe holds of them, so that no write waits for an answer */
#define WARM_UP_MESSAGES 2000u

static char messages[WINDOW_MAX * LINE];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Of the first thread, in which all of these functions do all of their work. */
static double cpu_s(pid_t pid)
{
    char path[64];
    unsigned long long used_ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%llu", &used_ns) != 1)
        fail(path);
    fclose(file);
    return (double)used_ns * 1e-9;
}

static pid_t start(char **command, int *to, int *from)
{
    int in[2], out[2];
    if (pipe(in) || pipe(out))
        fail("pipe");
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execvp(command[0], command);
        fail(command[0]);
    }
    close(in[0]);
    close(out[1]);
    *to = in[1];
    *from = out[0];
    return pid;
}

static void send_messages(int to, size_t count)
{
    size_t length = count * LINE;
    if (write(to, messages, length) != (ssize_t)length)
        fail("write");
}

/* Reads what is there, at least one answer; returns how many were completed. */
static size_t read_answers(int from, size_t *partial)
{
    static char answers[(WINDOW_MAX + 1) * LINE];
    ssize_t count = read(from, answers + *partial, sizeof answers - *partial);
    if (count <= 0)
        fail("the function ended");
    size_t held = *partial + (size_t)count;
    size_t whole = held / LINE;
    *partial = held % LINE;
    if (memcmp(answers, messages, whole * LINE)) {
        fprintf(stderr, "an answer is not its message\n");
        exit(1);
    }
    memmove(answers, answers + whole * LINE, *partial);
    return whole;
}

static void run(char **command, size_t window, double seconds)
{
    int to, from;
    pid_t pid = start(command, &to, &from);
    size_t partial = 0, whole = 0;
    uint64_t answered = 0;
    double since = 0, used = 0, now = 0;
    for (send_messages(to, window); since == 0 || now - since < seconds;) {
        if (whole)
            send_messages(to, whole);
        answered += whole = read_answers(from, &partial);
        now = now_s();
        if (since == 0 && answered >= WARM_UP_MESSAGES) {
            since = now;
            used = cpu_s(pid);
            answered = 0;
        }
    }
    double cpu_us = (cpu_s(pid) - used) * 1e6 / (double)answered;
    printf("{\"rate\": %.1f, \"cpu_us\": %.3f}\n", (double)answered / (now - since), cpu_us);
    for (size_t open = window - whole; open;)
        open -= read_answers(from, &partial);
    close(to);
    waitpid(pid, NULL, 0);
}

int main(int count, char **words)
{
    if (count < 4) {
        fprintf(stderr, "usage: drive WINDOW SECONDS COMMAND ARGUMENT...\n");
        return 2;
    }
    size_t window = strtoul(words[1], NULL, 10);
    double seconds = strtod(words[2], NULL);
    if (window < 1 || window > WINDOW_MAX)
        return 2;
    for (size_t i = 0; i < WINDOW_MAX * LINE; i++)
        messages[i] = i % LINE == LINE - 1 ? '\n' : 'x';
    run(words + 3, window, seconds);
    return 0;
}
