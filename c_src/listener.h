/* Listening sockets: accept in bounded bursts, refuse what is over the limit with a word of why. */
#ifndef DROP_LISTENER_H
#define DROP_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "source.h"
#include "timer.h"

struct drop_listener {
    struct drop_source source;
    struct drop_reactor *reactor;
    struct drop_listener *next;
    uint64_t id;
    struct drop_timer timer; /* rest after the process ran out of descriptors */
    bool trusted;
};

/* Takes the descriptor of a bound and listening socket; -1 without memory (it is closed then). */
int drop_listener_create(struct drop_reactor *reactor, uint64_t id, int fd, bool trusted);
void drop_listener_destroy(struct drop_listener *listener);

#endif
