#define _GNU_SOURCE
#include "logger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "logthread.h"

static void wake(const struct drop_logger *logger)
{
    uint64_t one = 1;
    ssize_t written = write(logger->wakeup, &one, sizeof one);
    (void)written; /* EAGAIN: a wake-up is under way */
}

/* ---- its life ---- */

static int open_parts(struct drop_logger *logger, const char *directory)
{
    logger->path = strdup(directory);
    if (!logger->path)
        return ENOMEM;
    int error = drop_logthread_open_directory(logger);
    if (error)
        return error;
    logger->epoll = epoll_create1(EPOLL_CLOEXEC);
    logger->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (logger->epoll < 0 || logger->wakeup < 0)
        return errno;
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(logger->epoll, EPOLL_CTL_ADD, logger->wakeup, &event) == 0 ? 0 : errno;
}

int drop_logger_open(struct drop_logger **logger, const char *directory,
                     const struct drop_logger_options *options)
{
    *logger = NULL;
    if (options->files == 0 || options->file_bytes_max == 0 || options->age_max < 0 ||
        options->rate_lines > DROP_LOGRATE_MAX)
        return EINVAL;
    struct drop_logger *made = calloc(1, sizeof *made);
    if (!made)
        return ENOMEM;
    made->epoll = made->wakeup = made->writer.directory.fd = -1;
    made->writer.directory.bytes_max = options->file_bytes_max;
    made->writer.directory.files = options->files;
    made->writer.directory.age_max = options->age_max;
    made->writer.rate_lines = options->rate_lines;
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
    int error = pthread_create(&logger->thread, NULL, drop_logthread_run, logger);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    logger->running = true;
    pthread_setname_np(logger->thread, "drop-log");
    return 0;
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

void drop_logger_close(struct drop_logger *logger)
{
    assert(!logger->running);
    for (size_t i = 0; i < logger->requested; i++) { /* it was never started */
        const struct drop_logrequest *request = &logger->requests[i];
        request->reply(request->context, "", 0);
        drop_callmark_release(request->mark);
    }
    while (logger->sources) {
        struct drop_logsource *source = logger->sources;
        logger->sources = source->next;
        drop_logthread_free(source);
    }
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

/* ---- streams ---- */

/* Under the mutex: puts a source into the list and the epoll set, or neither. */
static int enlist(struct drop_logger *logger, struct drop_logsource *source)
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

static struct drop_callmark *make_mark(struct drop_logsource *source, int fd)
{
    struct drop_callmark *mark = drop_callmark_create();
    if (mark) {
        mark->fd = fd;
        mark->stream = source;
    }
    return mark;
}

int drop_logger_add(struct drop_logger *logger, const char *pool, size_t pool_length,
                    uint64_t worker, pid_t pid, int fd, bool tail, struct drop_callmark **mark)
{
    char file_name[DROP_LOGFILE_NAME_SIZE];
    if (drop_logfile_name(pool, pool_length, file_name) == 0)
        return EINVAL;
    /* A pipe has no other flags to keep, and this is done for every process that is started. */
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return errno;
    struct drop_logsource *source = calloc(1, sizeof *source);
    struct drop_callmark *made = source && mark ? make_mark(source, fd) : NULL;
    int error = !source || (mark && !made) ? ENOMEM : 0;
    if (!error) {
        source->stream.fd = fd;
        source->stream.keeps_tail = tail && made;
        source->stream.call.mark = made;
        source->stream.pool_length = pool_length;
        drop_logline_tag_set(&source->stream.tag, pool, pool_length, worker, pid);
        pthread_mutex_lock(&logger->mutex);
        error = enlist(logger, source);
        pthread_mutex_unlock(&logger->mutex);
    }
    if (error) {
        free(source);
        free(made); /* nobody else has it */
    } else if (mark) {
        *mark = made;
    }
    return error;
}

int drop_logger_tail(struct drop_logger *logger, struct drop_callmark *mark,
                     drop_logsink_reply *reply, void *reply_context)
{
    int error = 0;
    bool is_first = false;
    pthread_mutex_lock(&logger->mutex);
    if (logger->stopping) {
        error = ESHUTDOWN;
    } else if (logger->requested == DROP_LOGGER_REQUESTS_MAX) {
        error = EAGAIN;
    } else {
        is_first = logger->requested == 0;
        drop_callmark_retain(mark);
        logger->requests[logger->requested++] =
            (struct drop_logrequest){.mark = mark, .reply = reply, .context = reply_context};
    }
    pthread_mutex_unlock(&logger->mutex);
    if (is_first)
        wake(logger);
    return error;
}

/* ---- the logger as a sink ---- */

static int sink_add(void *context, const char *pool, size_t pool_length, uint64_t worker,
                    pid_t pid, int fd, bool tail, struct drop_callmark **mark)
{
    return drop_logger_add(context, pool, pool_length, worker, pid, fd, tail, mark);
}

static int sink_tail(void *context, struct drop_callmark *mark, drop_logsink_reply *reply,
                     void *reply_context)
{
    return drop_logger_tail(context, mark, reply, reply_context);
}

void drop_logger_sink(struct drop_logger *logger, struct drop_logsink *sink)
{
    *sink = (struct drop_logsink){.context = logger, .add = sink_add, .tail = sink_tail};
}

/* ---- the rest ---- */

void drop_logger_reopen(struct drop_logger *logger)
{
    pthread_mutex_lock(&logger->mutex);
    logger->reopening = true;
    pthread_mutex_unlock(&logger->mutex);
    wake(logger);
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
    statistics->cut = atomic_load_explicit(&logger->writer.cut, memory_order_relaxed);
    statistics->rotations = atomic_load_explicit(&counters->rotations, memory_order_relaxed);
    statistics->write_errors = atomic_load_explicit(&counters->write_errors, memory_order_relaxed);
    statistics->truncated = atomic_load_explicit(&logger->writer.truncated, memory_order_relaxed);
}
