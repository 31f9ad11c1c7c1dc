/* How many processes of an exec function are kept ready for a message. Pure.
 *
 * A message that finds none ready doubles the number, and every RELAX of time without such a
 * message takes one away: under load it is soon as large as it helps, and an idle function keeps
 * the least. Doubling and a slow decay is what TCP's slow start and jemalloc's dirty-page decay do
 * with the same question: the cost of a miss is paid by a caller, that of a surplus is memory. */
#ifndef DROP_SPARES_H
#define DROP_SPARES_H

#include <stdint.h>

struct drop_spares {
    uint32_t least;
    uint32_t most; /* 0: none is kept ready, one is started for each message */
    uint32_t target;
    uint64_t relaxed_ns; /* when a message last found none, or the target last fell */
};

/* Processes of one function, by what they do. */
struct drop_processes {
    uint32_t ready;    /* wait for a message */
    uint32_t starting;
    uint32_t running;  /* have a message, or are ending */
    uint32_t waiting;  /* messages without a process */
    uint32_t at_most;  /* that run at a time */
};

void drop_spares_init(struct drop_spares *spares, uint32_t least, uint32_t most, uint64_t now_ns);
/* A message found no process ready. */
void drop_spares_missed(struct drop_spares *spares, uint64_t now_ns);
/* Lets time pass; returns when to call again, UINT64_MAX: not before the next miss. */
uint64_t drop_spares_relax(struct drop_spares *spares, uint64_t now_ns);
/* How many are to be started now. `draining`: only for the messages that wait. */
uint32_t drop_spares_wanted(const struct drop_spares *spares,
                            const struct drop_processes *processes, int draining);
/* How many of those that are ready may go. */
uint32_t drop_spares_surplus(const struct drop_spares *spares,
                             const struct drop_processes *processes);

#endif
