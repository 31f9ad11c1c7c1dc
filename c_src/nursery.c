/* See nursery.h. */
#define _GNU_SOURCE
#include "nursery.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reap.h"

#define WATCHED_FIRST 16u

enum request { START, BURY, STOP };

/* Bytes of a START request, the pool's name behind them. */
struct start {
    struct drop_conception conception;
    char name[];
};

struct drop_nursery {
    struct drop_channel requests;
    struct drop_channel *births;
    const struct drop_logsink *logs;
    pthread_t thread;
    struct pollfd *watched; /* the requests, then pidfds of the dying; the thread's own */
    size_t watched_count;
    size_t watched_capacity;
};

static void close_all(const int *descriptors, int count)
{
    for (int i = 0; i < count; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
}

/* Six ends: the child's stdin, stdout, stderr, then ours of the same. Without a logger the two of
 * stderr are one copy of our own and -1. */
static int open_streams(const struct drop_nursery *nursery, int ends[6])
{
    memset(ends, 0xff, 6 * sizeof *ends);
    for (int i = 0; i < 3; i++) {
        int pair[2];
        if (i == 2 && !nursery->logs) {
            ends[2] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
            return ends[2] < 0 ? errno : 0;
        }
        if (pipe2(pair, O_CLOEXEC))
            return errno;
        ends[i] = pair[i != 0];
        ends[i + 3] = pair[i == 0];
    }
    return 0;
}

/* Hands its stderr to the logger; 0 or an errno. */
static int log_it(const struct drop_nursery *nursery, const struct drop_conception *conception,
                  pid_t pid, int stderr_fd, struct drop_callmark **mark)
{
    const struct drop_logsink *logs = nursery->logs;
    if (!logs)
        return 0;
    return logs->add(logs->context, conception->name, conception->name_length, conception->worker,
                     pid, stderr_fd, true, mark);
}

static void start(struct drop_nursery *nursery, const struct drop_conception *conception,
                  struct drop_birth *birth)
{
    struct drop_spawn_result result;
    int ends[6];
    birth->error = open_streams(nursery, ends);
    birth->step = DROP_SPAWN_STREAMS;
    if (birth->error) {
        close_all(ends, 6);
        return;
    }
    birth->oom_kills = drop_recipe_oom_kills(conception->recipe, conception->slot);
    birth->error = drop_recipe_spawn(conception->recipe, conception->slot, ends, &result);
    birth->step = result.step;
    close_all(ends, 3);
    if (!birth->error) {
        birth->error = log_it(nursery, conception, result.pid, ends[5], &birth->mark);
        if (birth->error) {
            birth->step = DROP_SPAWN_STREAMS;
            kill(-result.pid, SIGKILL);
            drop_reap(result.pidfd, true);
            close(result.pidfd);
        }
    }
    if (birth->error) {
        close_all(ends + 3, 3);
        return;
    }
    birth->pid = result.pid;
    birth->pidfd = result.pidfd;
    birth->stdin_fd = ends[3];
    birth->stdout_fd = ends[4];
}

static void on_start(struct drop_nursery *nursery, struct drop_record *request)
{
    struct start *asked = (struct start *)(void *)request->bytes;
    struct drop_conception *conception = &asked->conception;
    conception->name = asked->name;
    struct drop_birth birth = {
        .generation = conception->generation,
        .recipe = conception->recipe,
        .slot = conception->slot,
    };
    start(nursery, conception, &birth);
    /* The record was made before the process, so that nothing can fail any more. */
    struct drop_record *born = (struct drop_record *)(uintptr_t)request->c;
    memcpy(born->bytes, &birth, sizeof birth);
    drop_channel_send(nursery->births, born);
}

static void reap(int pidfd)
{
    drop_reap(pidfd, true);
    close(pidfd);
}

/* It may take a while to die: a large one a second, one that waits for a broken disk for ever. The
 * others are started meanwhile. */
static void on_bury(struct drop_nursery *nursery, int pidfd)
{
    if (nursery->watched_count == nursery->watched_capacity) {
        size_t capacity = 2 * nursery->watched_capacity;
        struct pollfd *grown = realloc(nursery->watched, capacity * sizeof *grown);
        if (!grown) {
            reap(pidfd);
            return;
        }
        nursery->watched = grown;
        nursery->watched_capacity = capacity;
    }
    nursery->watched[nursery->watched_count++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
}

static void reap_the_dead(struct drop_nursery *nursery)
{
    for (size_t i = nursery->watched_count; i-- > 1;) {
        if (!nursery->watched[i].revents)
            continue;
        reap(nursery->watched[i].fd);
        nursery->watched[i] = nursery->watched[--nursery->watched_count];
    }
}

/* False: it was told to stop. */
static bool carry_out(struct drop_nursery *nursery)
{
    struct drop_record *request = drop_channel_take(&nursery->requests);
    bool going = true;
    while (request) {
        struct drop_record *next = request->next;
        if (request->kind == START)
            on_start(nursery, request);
        else if (request->kind == BURY)
            on_bury(nursery, (int)request->a);
        else
            going = false;
        free(request);
        request = next;
    }
    return going;
}

static void *run(void *argument)
{
    struct drop_nursery *nursery = argument;
    do {
        poll(nursery->watched, nursery->watched_count, -1);
        reap_the_dead(nursery);
    } while (carry_out(nursery));
    while (nursery->watched_count > 1)
        reap(nursery->watched[--nursery->watched_count].fd);
    return NULL;
}

/* 0 or an errno. */
static int open_parts(struct drop_nursery *nursery)
{
    nursery->watched_capacity = WATCHED_FIRST;
    nursery->watched = calloc(WATCHED_FIRST, sizeof *nursery->watched);
    if (!nursery->watched)
        return ENOMEM;
    int failed = drop_channel_init(&nursery->requests);
    nursery->watched[nursery->watched_count++] =
        (struct pollfd){.fd = nursery->requests.event_fd, .events = POLLIN};
    return failed;
}

static int start_thread(struct drop_nursery *nursery)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&nursery->thread, NULL, run, nursery);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

struct drop_nursery *drop_nursery_create(struct drop_channel *births,
                                         const struct drop_logsink *logs)
{
    struct drop_nursery *nursery = calloc(1, sizeof *nursery);
    if (!nursery)
        return NULL;
    nursery->births = births;
    nursery->logs = logs;
    int failed = open_parts(nursery);
    if (!failed && (failed = start_thread(nursery)))
        drop_channel_close(&nursery->requests);
    if (failed) {
        free(nursery->watched);
        free(nursery);
        errno = failed;
        return NULL;
    }
    pthread_setname_np(nursery->thread, "drop-spawn");
    return nursery;
}

int drop_nursery_start(struct drop_nursery *nursery, const struct drop_conception *conception)
{
    struct drop_record *request = drop_record_create(
        START, 0, 0, 0, sizeof(struct start) + conception->name_length);
    struct drop_record *born =
        drop_record_create(DROP_COMMAND_BORN, conception->pool, 0, 0, sizeof(struct drop_birth));
    if (!request || !born) {
        free(request);
        free(born);
        return -1;
    }
    request->c = (uintptr_t)born;
    struct start *asked = (struct start *)(void *)request->bytes;
    asked->conception = *conception;
    memcpy(asked->name, conception->name, conception->name_length);
    drop_channel_send(&nursery->requests, request);
    return 0;
}

int drop_nursery_bury(struct drop_nursery *nursery, int pidfd)
{
    struct drop_record *request = drop_record_create(BURY, (uint64_t)pidfd, 0, 0, 0);
    if (!request)
        return -1;
    drop_channel_send(&nursery->requests, request);
    return 0;
}

void drop_nursery_destroy(struct drop_nursery *nursery)
{
    if (!nursery)
        return;
    struct drop_record *request = drop_record_create(STOP, 0, 0, 0, 0);
    if (!request)
        abort(); /* 48 bytes are missing: nothing orderly is left to do */
    drop_channel_send(&nursery->requests, request);
    pthread_join(nursery->thread, NULL);
    drop_channel_close(&nursery->requests);
    free(nursery->watched);
    free(nursery);
}
