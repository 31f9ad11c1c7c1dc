/* The course of a load: warm-up, measurement, waiting for the last answers; see load.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "load_traffic.h"

#define EVENTS_MAX 256
#define POLL_MS 100                      /* how late a stop is seen while nothing comes */
#define DRAIN_NS (1000 * DROP_NS_PER_MS) /* how long outstanding answers are awaited at the end */
#define ORIGIN_NS DROP_NS_PER_MS         /* what `now` starts from */

static void begin_phase(struct drop_load *load, enum drop_load_phase phase, uint64_t duration)
{
    load->phase = phase;
    load->deadline = load->now + duration;
}

/* Moves on to the next phase when it is time. */
static void advance(struct drop_load *load)
{
    bool stop = atomic_load_explicit(&load->stop, memory_order_relaxed);
    bool due = load->now >= load->deadline;
    switch (load->phase) {
    case DROP_LOAD_WARMING:
        if (stop) {
            begin_phase(load, DROP_LOAD_DRAINING, DRAIN_NS);
        } else if (due) {
            load->result = (struct drop_load_result){0};
            load->started = load->now;
            begin_phase(load, DROP_LOAD_MEASURING, load->plan.duration_ns);
        }
        break;
    case DROP_LOAD_MEASURING:
        if (stop || due) {
            load->result.duration_ns = load->now - load->started;
            begin_phase(load, DROP_LOAD_DRAINING, DRAIN_NS);
        }
        break;
    case DROP_LOAD_DRAINING:
        if (due || load->outstanding == 0)
            load->phase = DROP_LOAD_FINISHED;
        break;
    case DROP_LOAD_FINISHED:
        break;
    }
}

/* One connection: block in recv itself, which saves epoll's two syscalls for each answer. */
static int run_single(struct drop_load *load)
{
    struct drop_load_connection *connection = load->connections;
    while (load->phase != DROP_LOAD_FINISHED) {
        bool mixed = connection->out_left != 0 || load->resting != NULL;
        if (mixed) {
            struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
            if (connection->out_left != 0)
                wait.events |= POLLOUT;
            int timeout = load->resting != NULL ? DROP_LOAD_REST_MS : POLL_MS;
            if (poll(&wait, 1, timeout) < 0 && errno != EINTR)
                return drop_load_fail(load, DROP_LOAD_SYSTEM, errno, "poll");
            if ((wait.revents & POLLOUT) != 0 && drop_load_flush(load, connection) != 0)
                return -1;
        }
        if (drop_load_receive(load, connection, mixed ? MSG_DONTWAIT : 0) != 0 ||
            drop_load_wake(load) != 0)
            return -1;
        advance(load);
    }
    return 0;
}

static int run_many(struct drop_load *load)
{
    struct epoll_event events[EVENTS_MAX];
    while (load->phase != DROP_LOAD_FINISHED) {
        int timeout = load->resting != NULL ? DROP_LOAD_REST_MS : POLL_MS;
        int count = epoll_wait(load->epoll, events, EVENTS_MAX, timeout);
        if (count < 0 && errno != EINTR)
            return drop_load_fail(load, DROP_LOAD_SYSTEM, errno, "epoll_wait");
        if (count <= 0)
            drop_load_read_clock(load);
        for (int i = 0; i < count; i++) {
            struct drop_load_connection *connection = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) != 0 && drop_load_flush(load, connection) != 0)
                return -1;
            if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
                drop_load_receive(load, connection, MSG_DONTWAIT) != 0)
                return -1;
        }
        if (drop_load_wake(load) != 0)
            return -1;
        advance(load);
    }
    return 0;
}

const struct drop_load_result *drop_load_run(struct drop_load *load)
{
    load->origin = drop_clock_ns() - ORIGIN_NS;
    drop_load_read_clock(load);
    begin_phase(load, DROP_LOAD_WARMING, load->plan.warmup_ns);
    int going = 0;
    for (uint32_t i = 0; going == 0 && i < load->plan.connections; i++)
        going = drop_load_start(load, &load->connections[i]);
    if (going == 0)
        (void)(load->plan.connections == 1 ? run_single(load) : run_many(load));
    if (load->phase == DROP_LOAD_MEASURING)
        load->result.duration_ns = load->now - load->started;
    load->result.messages = drop_histogram_count(&load->result.latency);
    load->result.unanswered = load->outstanding;
    return &load->result;
}

void drop_load_stop(struct drop_load *load)
{
    atomic_store_explicit(&load->stop, true, memory_order_relaxed);
}

uint64_t drop_load_progress(const struct drop_load *load)
{
    return atomic_load_explicit(&load->progress, memory_order_relaxed);
}

/* Prepares how the load waits: by a time-out on the only socket, or by epoll. */
static int prepare_waiting(struct drop_load *load)
{
    load->epoll = -1;
    if (load->plan.connections == 1) {
        struct timeval wait = {.tv_usec = POLL_MS * 1000};
        return setsockopt(load->plan.fds[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    }
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; load->epoll >= 0 && i < load->plan.connections; i++) {
        struct drop_load_connection *connection = &load->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            return -1;
    }
    return load->epoll < 0 ? -1 : 0;
}

struct drop_load *drop_load_create(const struct drop_load_plan *plan)
{
    struct drop_load *load = calloc(1, sizeof *load);
    if (load == NULL)
        return NULL;
    load->plan = *plan;
    load->epoll = -1;
    load->frame_length = DROP_LOAD_CALL_OVERHEAD + plan->pool_length + (size_t)plan->payload_length;
    load->ring_length = load->frame_length * plan->depth;
    load->receive = malloc(DROP_LOAD_RECEIVE_SIZE);
    load->connections = calloc(plan->connections, sizeof *load->connections);
    bool failed = load->receive == NULL || load->connections == NULL;
    for (uint32_t i = 0; !failed && i < plan->connections; i++)
        failed = drop_load_connection_init(load, &load->connections[i], plan->fds[i]) != 0;
    if (failed || prepare_waiting(load) != 0) {
        int error = errno;
        drop_load_destroy(load);
        errno = error;
        return NULL;
    }
    return load;
}

void drop_load_destroy(struct drop_load *load)
{
    if (load->epoll >= 0)
        close(load->epoll);
    for (uint32_t i = 0; load->connections != NULL && i < load->plan.connections; i++)
        drop_load_connection_close(&load->connections[i]);
    free(load->connections);
    free(load->receive);
    free(load);
}
