#define _GNU_SOURCE
#include "logthread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ready pipes served in one turn */
#define EVENTS_MAX 256
/* ms between two looks after streams that are restless: a line that comes so long after an answer
 * may still get the id of the call; and how late a report of cut lines may be */
#define SETTLE_MS 200
/* ms between two looks after the logs */
#define UPKEEP_MS 1000
/* bytes read on in one stream at most: the largest pipe; a worker that goes on writing must not
 * keep the thread */
#define READ_ON_MAX (1 << 20)
/* bytes: half of what a pipe holds by default */
#define HALF_FULL (32 << 10)
#define MS_NS 1000000ull

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * DROP_LOGRATE_SECOND_NS + (uint64_t)time.tv_nsec;
}

/* ---- sources ---- */

/* The reactor may be asking the pipe at this moment; after this it does not. */
static void withdraw_pipe(struct drop_callmark *mark)
{
    while (!drop_callmark_try_pipe(mark))
        sched_yield();
    mark->fd = -1;
    drop_callmark_leave_pipe(mark);
}

void drop_logthread_free(struct drop_logsource *source)
{
    struct drop_callmark *mark = source->stream.call.mark;
    if (mark) {
        withdraw_pipe(mark);
        mark->stream = NULL;
        mark->tail = source->stream.tail;
        drop_callmark_release(mark);
    }
    close(source->stream.fd);
    free(source);
}

static void set_restless(struct drop_logger *logger, struct drop_logsource *source, bool restless)
{
    if (restless == (source->restless_link != NULL))
        return;
    if (restless) {
        source->next_restless = logger->restless;
        source->restless_link = &logger->restless;
        if (source->next_restless)
            source->next_restless->restless_link = &source->next_restless;
        logger->restless = source;
    } else {
        *source->restless_link = source->next_restless;
        if (source->next_restless)
            source->next_restless->restless_link = source->restless_link;
        source->restless_link = NULL;
    }
}

/* Ends a source and frees it. It is taken out of epoll by hand: closing does that only with the
 * last duplicate, and for a moment there is one in every child that is being spawned. */
static void end(struct drop_logger *logger, struct drop_logsource *source)
{
    drop_logwriter_end(&logger->writer, &source->stream);
    epoll_ctl(logger->epoll, EPOLL_CTL_DEL, source->stream.fd, NULL);
    set_restless(logger, source, false);
    pthread_mutex_lock(&logger->mutex);
    *source->link = source->next;
    if (source->next)
        source->next->link = source->link;
    logger->sources_open--;
    pthread_mutex_unlock(&logger->mutex);
    drop_logthread_free(source);
}

/* Gives a pipe that was found half full room for a burst: who says much between two turns should
 * not have to wait. Where the system has no memory for that, it stays as it is. */
static void widen(struct drop_logsource *source)
{
    source->is_wide = true;
    fcntl(source->stream.fd, F_SETPIPE_SZ, DROP_LOGWRITER_BURST);
}

/* What a read has come to. */
static void served(struct drop_logger *logger, struct drop_logsource *source, ssize_t length)
{
    if (length >= HALF_FULL && !source->is_wide)
        widen(source);
    if (length < 0)
        end(logger, source);
    else
        set_restless(logger, source, drop_logwriter_is_restless(&source->stream));
}

/* The last reading of a source: what its pipe holds at this moment, whatever the worker adds
 * meanwhile. */
static void drain(struct drop_logger *logger, struct drop_logsource *source)
{
    int waiting = 0;
    if (ioctl(source->stream.fd, FIONREAD, &waiting) != 0)
        waiting = READ_ON_MAX;
    while (waiting > 0) {
        ssize_t length = drop_logwriter_read(&logger->writer, &source->stream);
        if (length <= 0)
            break;
        waiting -= (int)length;
    }
    end(logger, source);
}

/* ---- tails ---- */

static void read_on(struct drop_logger *logger, struct drop_logsource *source)
{
    ssize_t length = 1;
    for (ssize_t total = 0; length > 0 && total < READ_ON_MAX; total += length)
        length = drop_logwriter_read(&logger->writer, &source->stream);
    served(logger, source, length);
}

static void answer(struct drop_logger *logger, const struct drop_logrequest *request)
{
    struct drop_callmark *mark = request->mark;
    char text[DROP_LOGSINK_TAIL_MAX];
    if (mark->stream)
        read_on(logger, mark->stream); /* which may be its end */
    const struct drop_logsource *source = mark->stream;
    const struct drop_logtail *tail = source ? source->stream.tail : mark->tail;
    request->reply(request->context, text, tail ? drop_logtail_text(tail, text) : 0);
    drop_callmark_release(mark);
}

/* ---- turns ---- */

int drop_logthread_open_directory(struct drop_logger *logger)
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
    if (drop_logthread_open_directory(logger) != 0)
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
    logger->taken = logger->requested;
    memcpy(logger->requests_taken, logger->requests, logger->taken * sizeof *logger->requests);
    logger->requested = 0;
    pthread_mutex_unlock(&logger->mutex);
    if (reopening)
        reopen(logger);
    return stopping;
}

/* To be done before the requests are taken: a wake-up of one that comes later must be left. */
static void clear_wakeup(const struct drop_logger *logger)
{
    uint64_t ignored;
    ssize_t length = read(logger->wakeup, &ignored, sizeof ignored);
    (void)length; /* nothing to read: somebody's wake-up was seen already */
}

/* A pipe without bytes that is ready has ended. */
static void serve(struct drop_logger *logger, const struct epoll_event *event)
{
    struct drop_logsource *source = event->data.ptr;
    if (!source) /* the wake-up, which was cleared */
        return;
    if (event->events & EPOLLIN)
        served(logger, source, drop_logwriter_read(&logger->writer, &source->stream));
    else
        end(logger, source);
}

static void settle(struct drop_logger *logger)
{
    for (struct drop_logsource *source = logger->restless, *next; source; source = next) {
        next = source->next_restless;
        served(logger, source, drop_logwriter_settle(&logger->writer, &source->stream));
    }
}

/* How long to wait for events, ms. */
static int patience(const struct drop_logger *logger)
{
    if (logger->restless)
        return SETTLE_MS;
    return drop_logset_needs_upkeep(&logger->writer.logs) ? UPKEEP_MS : -1;
}

/* Waits until the next turn may begin; false: not yet, but somebody wants something that must not
 * wait. */
static bool rest(struct drop_logger *logger)
{
    uint64_t time = now();
    if (time < logger->turn_at) {
        struct timespec left = {.tv_nsec = (long)(logger->turn_at - time)};
        struct pollfd wakeup = {.fd = logger->wakeup, .events = POLLIN};
        if (ppoll(&wakeup, 1, &left, NULL) != 0)
            return false;
        time = now();
    }
    logger->turn_at = time + DROP_LOGGER_TURN_NS;
    return true;
}

static void look_after(struct drop_logger *logger)
{
    if (logger->restless && logger->turn_at >= logger->settle_at) {
        settle(logger);
        logger->settle_at = logger->turn_at + SETTLE_MS * MS_NS;
    }
    if (drop_logset_needs_upkeep(&logger->writer.logs))
        drop_logwriter_upkeep(&logger->writer);
}

void *drop_logthread_run(void *argument)
{
    struct drop_logger *logger = argument;
    struct epoll_event events[EVENTS_MAX];
    bool stopping = false;
    while (!stopping) {
        int ready = epoll_wait(logger->epoll, events, EVENTS_MAX, patience(logger));
        if (!rest(logger))
            ready = 0; /* their turn comes */
        clear_wakeup(logger);
        stopping = take_requests(logger);
        for (int i = 0; i < ready; i++)
            serve(logger, &events[i]);
        for (size_t i = 0; i < logger->taken; i++)
            answer(logger, &logger->requests_taken[i]);
        look_after(logger);
    }
    while (logger->sources) /* add() refuses by now, so the list is this thread's */
        drain(logger, logger->sources);
    drop_logwriter_close(&logger->writer);
    return NULL;
}
