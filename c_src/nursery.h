/* The thread that starts the processes of exec functions, so that no start stops the reactor, and
 * that reaps those which nobody else waits for.
 *
 * Requests go in through a channel; each process that was started (or could not be) comes out as a
 * BORN command in the reactor's own channel. All processes die with this thread (PDEATHSIG), which
 * lives as long as the reactor. */
#ifndef DROP_NURSERY_H
#define DROP_NURSERY_H

#include <stdint.h>
#include <sys/types.h>

#include "callmark.h"
#include "channel.h"
#include "logsink.h"
#include "recipe.h"

struct drop_nursery;

/* Bytes of a BORN command (a: pool). */
struct drop_birth {
    uint64_t generation; /* of the recipe, as it was asked for */
    struct drop_recipe *recipe; /* a reference, which passes to whoever takes the record */
    uint32_t slot;
    int error; /* errno, 0: it runs, and the rest is valid and passes as well */
    enum drop_spawn_step step;
    pid_t pid;
    int pidfd;
    int stdin_fd;
    int stdout_fd;
    uint64_t oom_kills; /* of the slot before it */
    struct drop_callmark *mark; /* NULL without a logger */
};

/* What is to be started. */
struct drop_conception {
    uint64_t pool;
    uint64_t worker; /* its number for people, in the log */
    uint64_t generation;
    uint32_t slot;
    struct drop_recipe *recipe; /* a reference, which passes */
    const char *name; /* of the pool */
    uint32_t name_length;
};

/* NULL and errno. `logs` may be NULL: stderr is then the node's own. Started at once. */
struct drop_nursery *drop_nursery_create(struct drop_channel *births,
                                         const struct drop_logsink *logs);
/* 0, or -1 without memory (the reference stays the caller's). */
int drop_nursery_start(struct drop_nursery *nursery, const struct drop_conception *conception);
/* Reaps a process that was killed, once it is dead, and closes its pidfd. 0, or -1 without
 * memory. */
int drop_nursery_bury(struct drop_nursery *nursery, int pidfd);
/* Carries out what was asked for, ends the thread, frees it. */
void drop_nursery_destroy(struct drop_nursery *nursery);

#endif
