/* Accepting; see listener.h. */
#define _GNU_SOURCE
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor.h"

/* How long a listener rests when the process has no descriptors left, ns: the queue of the kernel
 * holds the callers meanwhile. */
#define REST_NS (100 * DROP_NS_PER_MS)

/* A client that vanished without a word is noticed after 60 + 3 * 10 s idle, or 30 s after data
 * was sent to it. */
static void set_options(int fd)
{
    int on = 1, idle_s = 60, interval_s = 10, probes = 3, unacknowledged_ms = 30000;
    /* Fails on Unix sockets, which need none of it. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on))
        return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static void welcome(struct drop_listener *listener, int fd)
{
    struct drop_reactor *reactor = listener->reactor;
    struct drop_connection *connection = NULL;
    set_options(fd);
    connection = drop_connection_create(reactor, fd, listener->trusted);
    if (!connection) {
        close(fd);
        reactor->counters.refused_connections++;
        return;
    }
    reactor->counters.accepted++;
    if (reactor->connection_count > reactor->options.connections_max) {
        reactor->counters.refused_connections++;
        drop_connection_goaway(connection, DROP_OVERLOADED,
                               "the node has as many connections as it may have (connections_max)");
    }
}

static void on_ready(struct drop_reactor *reactor, struct drop_source *source, uint32_t events)
{
    struct drop_listener *listener = DROP_CONTAINER(source, struct drop_listener, source);
    (void)events;
    for (int i = 0; i < DROP_ACCEPTS_MAX; i++) {
        int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(listener, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            reactor->counters.refused_connections++;
            drop_reactor_rewatch(reactor, source, 0);
            drop_timer_arm(&reactor->timers, &listener->timer, reactor->now_ns + REST_NS);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static void rested(struct drop_timer *timer, uint64_t now_ns)
{
    struct drop_listener *listener = DROP_CONTAINER(timer, struct drop_listener, timer);
    (void)now_ns;
    drop_reactor_rewatch(listener->reactor, &listener->source, EPOLLIN);
}

int drop_listener_create(struct drop_reactor *reactor, uint64_t id, int fd, bool trusted)
{
    struct drop_listener *listener = calloc(1, sizeof *listener);
    if (!listener || drop_timers_register(&reactor->timers)) {
        free(listener);
        close(fd);
        return -1;
    }
    listener->reactor = reactor;
    listener->id = id;
    listener->trusted = trusted;
    listener->timer.fire = rested;
    listener->source = (struct drop_source){.fd = fd, .ready = on_ready};
    listener->next = reactor->listeners;
    reactor->listeners = listener;
    if (drop_reactor_watch(reactor, &listener->source, EPOLLIN)) {
        drop_listener_destroy(listener);
        return -1;
    }
    return 0;
}

void drop_listener_destroy(struct drop_listener *listener)
{
    struct drop_reactor *reactor = listener->reactor;
    struct drop_listener **link = &reactor->listeners;
    while (*link != listener)
        link = &(*link)->next;
    *link = listener->next;
    drop_timers_unregister(&reactor->timers, &listener->timer);
    drop_reactor_unwatch(reactor, &listener->source);
    close(listener->source.fd);
    free(listener);
}
