/* A queue of records between threads, with an eventfd that says there is something.
 *
 * Used twice: commands go into a reactor, happenings come out. It is for control only (no message
 * of the hot path passes here), so a mutex is enough; the eventfd is written when the queue stops
 * being empty. */
#ifndef DROP_CHANNEL_H
#define DROP_CHANNEL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum drop_command {
    DROP_COMMAND_LISTEN,        /* a: listener id, b: fd, c: trusted */
    DROP_COMMAND_LISTEN_STOP,   /* a: listener id */
    DROP_COMMAND_POOL_CREATE,   /* a: pool id; bytes: struct drop_pool_options */
    DROP_COMMAND_POOL_REMOVE,   /* a: pool id */
    DROP_COMMAND_POOL_DRAIN,    /* a: pool id */
    DROP_COMMAND_POOL_REFUSE,   /* a: pool id; bytes: text, none lifts */
    DROP_COMMAND_WORKER_ADD,    /* a: pool id, b: worker; bytes: struct
                                 * drop_worker_parts, the ready line */
    DROP_COMMAND_WORKER_REMOVE, /* a: worker id, b: drain */
    DROP_COMMAND_WORKER_EXITED, /* a: worker id; bytes: how, in words, with a terminator */
    DROP_COMMAND_WORKER_PROBE,  /* a: worker id, b: bytes of payload, c: any answer is good; bytes:
                                 * payload, expected answer */
    DROP_COMMAND_EXEC,          /* a: pool id; bytes: struct drop_exec_options */
    DROP_COMMAND_EXEC_RESUME,   /* a: pool id */
    DROP_COMMAND_BORN,          /* a: pool id; bytes: struct drop_birth; from the nursery */
    DROP_COMMAND_TAIL,          /* a: worker id; bytes: the end of its stderr; from the logger */
    DROP_COMMAND_SUBSCRIBE,     /* a: id, b: source, c: target << 1 | broadcast; bytes: filter */
    DROP_COMMAND_UNSUBSCRIBE,   /* a: subscription id */
    DROP_COMMAND_ANSWER,        /* a: token, b: status; bytes: payload */
    DROP_COMMAND_PUBLISH,       /* a: request, b: pool id, c: count; bytes: u32 length, payload */
    DROP_COMMAND_STATISTICS,    /* a: request */
    DROP_COMMAND_DRAIN,
    DROP_COMMAND_STOP,
    DROP_COMMAND_COUNT,
};

enum drop_happening {
    DROP_WORKER_GONE = 1, /* a: pool, b: worker, c: answered << 16 | unanswered; bytes: reason */
    DROP_WORKER_DRAINED,  /* a: pool id, b: worker id, c: answered */
    DROP_POOL_DRAINED,    /* a: pool id */
    DROP_DRAINED,
    DROP_MESSAGE,    /* a: pool id, b: token; bytes: payload */
    DROP_PUBLISHED,  /* a: request, b: accepted, c: refused */
    DROP_STATISTICS_READY, /* a: request; bytes: JSON */
    DROP_WORKER_READY,     /* a: pool id, b: worker id */
    DROP_WORKER_HEALTH,    /* a: pool id, b: worker id; bytes: ok, wrong, busy */
    DROP_UNKNOWN_TOKEN,    /* a: pool id, b: worker id, c: since last told; bytes: of its line */
    DROP_SPAWN_FAILED,     /* a: pool id, b: errno, c: enum drop_spawn_step; bytes: its text */
    DROP_SPAWN_WORKS,      /* a: pool id: the first one after that */
    DROP_SPARES_OFF,       /* a: pool id; bytes: why */
};

struct drop_record {
    struct drop_record *next;
    uint32_t kind; /* enum drop_command or drop_happening */
    uint64_t a, b, c;
    size_t length;
    char bytes[];
};

struct drop_channel {
    pthread_mutex_t mutex;
    int event_fd;
    struct drop_record *first;
    struct drop_record **last;
};

/* 0 or an errno. */
int drop_channel_init(struct drop_channel *channel);
/* Frees what is still in it. */
void drop_channel_close(struct drop_channel *channel);

/* A record with room for `length` bytes; NULL without memory. Owned by the caller until sent. */
struct drop_record *drop_record_create(uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
                                       size_t length);
/* Ownership passes. Any thread. */
void drop_channel_send(struct drop_channel *channel, struct drop_record *record);
/* Everything in it, in order, as a list for the caller to free one by one; resets the eventfd. */
struct drop_record *drop_channel_take(struct drop_channel *channel);

#endif
