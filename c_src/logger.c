#define _GNU_SOURCE
#include "logger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logwriter.h"

/* ready pipes served in one turn */
#define EVENTS_MAX 64
/* ms between attempts to report lost lines of pools that have nothing more to say */
#define REPORT_MS 1000
/* bytes drained from a source at the end when the system does not say how many wait: the largest
 * pipe */
#define DRAIN_MAX (1 << 20)

/* A worker's pipe in the list of all. The list is guarded by the mutex; the stream is the thread's
 * once it is in. */
struct source {
    struct source *next;
    struct source **link;
    struct drop_logstream stream;
};

struct drop_logger {
    pthread_mutex_t mutex; /* sources, sources_open, stopping, reopening */
    struct source *sources;
    uint64_t sources_open;
    bool stopping;
    bool reopening;

    pthread_t thread;
    bool running; /* of the caller of start and stop */
    int epoll;
    int wakeup; /* eventfd */
    char *path;
    struct drop_logwriter writer; /* the thread's own but for the counters */
};

/* ---- sources ---- */

/* Ends a source and frees it. It is taken out of epoll by hand: closing does that only with the
 * last duplicate, and for a moment there is one in every child that is being spawned. */
static void end(struct drop_logger *logger, struct source *source)
{
    drop_logwriter_end(&logger->writer, &source->stream);
    epoll_ctl(logger->epoll, EPOLL_CTL_DEL, source->stream.fd, NULL);
    close(source->stream.fd);
    pthread_mutex_lock(&logger->mutex);
    *source->link = source->next;
    if (source->next)
        source->next->link = source->link;
    logger->sources_open--;
    pthread_mutex_unlock(&logger->mutex);
    free(source);
}

/* The last reading of a source: what its pipe holds at this moment, whatever the worker adds
 * meanwhile. */
static void drain(struct drop_logger *logger, struct source *source)
{
    int waiting = 0;
    if (ioctl(source->stream.fd, FIONREAD, &waiting) != 0)
        waiting = DRAIN_MAX;
    while (waiting > 0) {
        ssize_t length = drop_logwriter_read(&logger->writer, &source->stream);
        if (length <= 0)
            break;
        waiting -= (int)length;
    }
    end(logger, source);
}

/* ---- the thread ---- */

/* Opens the directory, made when it is missing; replaces a descriptor that is open. Returns 0 or an
 * errno. */
static int open_directory(struct drop_logger *logger)
{
    mkdir(logger->path, 0750); /* if that fails, opening says why */
    int fd = open(logger->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (logger->writer.directory.fd >= 0)
        close(logger->writer.directory.fd);
    logger->writer.directory.fd = fd;
    return 0;
}

static void reopen(struct drop_logger *logger)
{
    if (open_directory(logger) != 0)
        atomic_fetch_add(&logger->writer.directory.counters.write_errors, 1);
    drop_logwriter_reopen(&logger->writer);
}

/* What other threads have asked for. Taking the mutex once a turn also makes visible to this thread
 * what they have put into the sources that epoll has just returned. */
static bool take_requests(struct drop_logger *logger)
{
    pthread_mutex_lock(&logger->mutex);
    bool stopping = logger->stopping;
    bool reopening = logger->reopening;
    logger->reopening = false;
    pthread_mutex_unlock(&logger->mutex);
    if (reopening)
        reopen(logger);
    return stopping;
}

static void serve(struct drop_logger *logger, const struct epoll_event *event)
{
    struct source *source = event->data.ptr;
    if (source) {
        if (drop_logwriter_read(&logger->writer, &source->stream) < 0)
            end(logger, source);
        return;
    }
    uint64_t ignored;
    ssize_t length = read(logger->wakeup, &ignored, sizeof ignored);
    (void)length; /* nothing to read: somebody's wake-up was seen already */
}

static void *run(void *argument)
{
    struct drop_logger *logger = argument;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int ready =
            epoll_wait(logger->epoll, events, EVENTS_MAX, logger->writer.losing ? REPORT_MS : -1);
        if (take_requests(logger))
            break;
        for (int i = 0; i < ready; i++)
            serve(logger, &events[i]);
        if (logger->writer.losing)
            drop_logwriter_report_losses(&logger->writer);
    }
    while (logger->sources) /* add() refuses by now, so the list is this thread's */
        drain(logger, logger->sources);
    drop_logwriter_close(&logger->writer);
    return NULL;
}

static void wake(const struct drop_logger *logger)
{
    uint64_t one = 1;
    ssize_t written = write(logger->wakeup, &one, sizeof one);
    (void)written; /* EAGAIN: a wake-up is under way */
}

/* ---- the callers ---- */

static int open_parts(struct drop_logger *logger, const char *directory)
{
    logger->path = strdup(directory);
    if (!logger->path)
        return ENOMEM;
    int error = open_directory(logger);
    if (error)
        return error;
    logger->epoll = epoll_create1(EPOLL_CLOEXEC);
    logger->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (logger->epoll < 0 || logger->wakeup < 0)
        return errno;
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(logger->epoll, EPOLL_CTL_ADD, logger->wakeup, &event) == 0 ? 0 : errno;
}

int drop_logger_open(struct drop_logger **logger, const char *directory, uint64_t file_bytes_max,
                     unsigned files)
{
    *logger = NULL;
    if (files == 0 || file_bytes_max == 0)
        return EINVAL;
    struct drop_logger *made = calloc(1, sizeof *made);
    if (!made)
        return ENOMEM;
    made->epoll = made->wakeup = made->writer.directory.fd = -1;
    made->writer.directory.bytes_max = file_bytes_max;
    made->writer.directory.files = files;
    pthread_mutex_init(&made->mutex, NULL);
    int error = open_parts(made, directory);
    if (error)
        drop_logger_close(made);
    else
        *logger = made;
    return error;
}

int drop_logger_start(struct drop_logger *logger)
{
    if (logger->running || logger->stopping)
        return EALREADY;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&logger->thread, NULL, run, logger);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    logger->running = true;
    pthread_setname_np(logger->thread, "drop-log");
    return 0;
}

/* Under the mutex: puts a source into the list and the epoll set, or neither. */
static int enlist(struct drop_logger *logger, struct source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    if (logger->stopping)
        return ESHUTDOWN;
    if (epoll_ctl(logger->epoll, EPOLL_CTL_ADD, source->stream.fd, &event) != 0)
        return errno;
    source->next = logger->sources;
    source->link = &logger->sources;
    if (source->next)
        source->next->link = &source->next;
    logger->sources = source;
    logger->sources_open++;
    return 0;
}

int drop_logger_add(struct drop_logger *logger, const char *pool, size_t pool_length,
                    uint64_t worker, pid_t pid, int fd)
{
    char file_name[DROP_LOGFILE_NAME_SIZE], name[DROP_NAME_MAX + 1];
    if (drop_logfile_name(pool, pool_length, file_name) == 0)
        return EINVAL;
    memcpy(name, pool, pool_length);
    name[pool_length] = '\0';
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return errno;
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return ENOMEM;
    source->stream.fd = fd;
    source->stream.pool_length = pool_length;
    drop_logline_tag_set(&source->stream.tag, name, worker, pid);
    pthread_mutex_lock(&logger->mutex);
    int error = enlist(logger, source);
    pthread_mutex_unlock(&logger->mutex);
    if (error)
        free(source);
    return error;
}

void drop_logger_reopen(struct drop_logger *logger)
{
    pthread_mutex_lock(&logger->mutex);
    logger->reopening = true;
    pthread_mutex_unlock(&logger->mutex);
    wake(logger);
}

void drop_logger_stop(struct drop_logger *logger)
{
    pthread_mutex_lock(&logger->mutex);
    logger->stopping = true;
    pthread_mutex_unlock(&logger->mutex);
    if (!logger->running)
        return;
    wake(logger);
    pthread_join(logger->thread, NULL);
    logger->running = false;
}

void drop_logger_statistics(struct drop_logger *logger, struct drop_logger_statistics *statistics)
{
    struct drop_logfile_counters *counters = &logger->writer.directory.counters;
    pthread_mutex_lock(&logger->mutex);
    statistics->sources = logger->sources_open;
    pthread_mutex_unlock(&logger->mutex);
    statistics->lines = atomic_load_explicit(&counters->lines, memory_order_relaxed);
    statistics->bytes = atomic_load_explicit(&counters->bytes, memory_order_relaxed);
    statistics->lost = atomic_load_explicit(&counters->lost, memory_order_relaxed);
    statistics->rotations = atomic_load_explicit(&counters->rotations, memory_order_relaxed);
    statistics->write_errors = atomic_load_explicit(&counters->write_errors, memory_order_relaxed);
    statistics->truncated = atomic_load_explicit(&logger->writer.truncated, memory_order_relaxed);
}

void drop_logger_close(struct drop_logger *logger)
{
    assert(!logger->running);
    while (logger->sources) {
        struct source *source = logger->sources;
        logger->sources = source->next;
        close(source->stream.fd);
        free(source);
    }
    assert(!logger->writer.logs);
    if (logger->epoll >= 0)
        close(logger->epoll);
    if (logger->wakeup >= 0)
        close(logger->wakeup);
    if (logger->writer.directory.fd >= 0)
        close(logger->writer.directory.fd);
    pthread_mutex_destroy(&logger->mutex);
    free(logger->path);
    free(logger);
}
