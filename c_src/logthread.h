/* What the logger's thread does, turn by turn, and what it shares with those who call the logger.
 * Only logger.c and logthread.c look into this. */
#ifndef DROP_LOGTHREAD_H
#define DROP_LOGTHREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "logger.h"
#include "logwriter.h"

/* A worker's pipe in the list of all. The list is guarded by the mutex; the rest is the thread's
 * once it is in. */
struct drop_logsource {
    struct drop_logsource *next;
    struct drop_logsource **link;
    struct drop_logsource *next_restless;
    struct drop_logsource **restless_link; /* NULL: not in that list */
    bool is_wide; /* its pipe was made larger */
    struct drop_logstream stream;
};

/* Somebody wants a tail; holds a reference to the mark. */
struct drop_logrequest {
    struct drop_callmark *mark;
    drop_logsink_reply *reply;
    void *context;
};

struct drop_logger {
    pthread_mutex_t mutex; /* the next six */
    struct drop_logsource *sources;
    uint64_t sources_open;
    bool stopping;
    bool reopening;
    size_t requested;
    struct drop_logrequest requests[DROP_LOGGER_REQUESTS_MAX];

    pthread_t thread;
    bool running; /* of the caller of start and stop */
    int epoll;
    int wakeup; /* eventfd */
    char *path;

    /* the thread's own, but for the counters */
    struct drop_logsource *restless;
    uint64_t turn_at;   /* ns; not before */
    uint64_t settle_at; /* ns */
    size_t taken;
    struct drop_logrequest requests_taken[DROP_LOGGER_REQUESTS_MAX];
    struct drop_logwriter writer;
};

/* Opens the directory, made when it is missing; replaces a descriptor that is open. Returns 0 or an
 * errno. */
int drop_logthread_open_directory(struct drop_logger *logger);

/* Closes the pipe of a source that is in no list and frees it. */
void drop_logthread_free(struct drop_logsource *source);

/* The thread: runs until `stopping`, then reads what is left. */
void *drop_logthread_run(void *logger);

#endif
