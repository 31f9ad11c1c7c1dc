#define _GNU_SOURCE
#include "herald.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "entropy.h"
#include "heraldfilter.h"
#include "heraldplace.h"
#include "heraldthread.h"

#define INTERVAL_MS_MIN 10u
#define INTERVAL_MS_MAX 3600000u
#define NO_SOCKET UINT32_MAX /* what epoll says of the wake-up */

static void wake(const struct drop_herald *herald)
{
    uint64_t one = 1;
    ssize_t written = write(herald->wakeup, &one, sizeof one);
    (void)written; /* EAGAIN: a wake-up is under way */
}

/* ---- its life ---- */

static int open_parts(struct drop_herald *herald, const uint8_t *node_id, uint64_t incarnation,
                      uint32_t peers_max)
{
    struct {
        uint64_t session, random;
        uint8_t secret[DROP_BLAKE2S_KEY_MAX];
    } drawn;
    if (!drop_entropy(&drawn, sizeof drawn))
        return errno;
    herald->random = drawn.random | 1;
    struct drop_peers_options options = {.node_id = node_id,
                                         .incarnation = incarnation,
                                         .session = drawn.session,
                                         .interval = herald->interval,
                                         .capacity = peers_max,
                                         .secret = drawn.secret};
    int error = drop_peers_init(&herald->peers, &options);
    if (error)
        return error;
    herald->epoll = epoll_create1(EPOLL_CLOEXEC);
    herald->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    herald->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (herald->epoll < 0 || herald->wakeup < 0 || herald->event < 0)
        return errno;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = NO_SOCKET};
    return epoll_ctl(herald->epoll, EPOLL_CTL_ADD, herald->wakeup, &event) == 0 ? 0 : errno;
}

int drop_herald_open(struct drop_herald **herald, const uint8_t *node_id, uint64_t incarnation,
                     unsigned interval_ms, uint32_t peers_max)
{
    *herald = NULL;
    if (interval_ms < INTERVAL_MS_MIN || interval_ms > INTERVAL_MS_MAX)
        return EINVAL;
    struct drop_herald *made = calloc(1, sizeof *made);
    if (!made)
        return ENOMEM;
    made->epoll = made->wakeup = made->event = -1;
    made->interval = interval_ms * DROP_NS_PER_MS;
    made->look_at = DROP_NEVER;
    made->budget = DROP_HERALD_BUDGET;
    made->bad_max = DROP_HERALD_BAD_MAX;
    pthread_mutex_init(&made->mutex, NULL);
    int error = open_parts(made, node_id, incarnation, peers_max);
    if (error)
        drop_herald_close(made);
    else
        *herald = made;
    return error;
}

/* Under the mutex. */
static int start(struct drop_herald *herald)
{
    if (herald->is_running || herald->is_stopping)
        return herald->is_running ? EALREADY : ESHUTDOWN;
    herald->vouched_at = herald->buckets[0].filled_at = herald->buckets[1].filled_at =
        drop_clock_ns();
    herald->buckets[0].tokens = herald->buckets[1].tokens = 1000 * DROP_NS_PER_MS;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&herald->thread, NULL, drop_heraldthread_run, herald);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    herald->is_running = true;
    pthread_setname_np(herald->thread, "drop-beacon");
    return 0;
}

int drop_herald_start(struct drop_herald *herald)
{
    pthread_mutex_lock(&herald->mutex);
    int error = start(herald);
    pthread_mutex_unlock(&herald->mutex);
    return error;
}

/* Under the mutex, or when nobody else is there. */
static void close_sockets(struct drop_herald *herald)
{
    for (size_t i = 0; i < herald->lines_count; i++)
        close(herald->lines[i].fd);
    herald->lines_count = 0;
    free(herald->destinations);
    herald->destinations = NULL;
}

void drop_herald_stop(struct drop_herald *herald)
{
    pthread_mutex_lock(&herald->mutex);
    herald->is_stopping = true;
    bool was_running = herald->is_running;
    herald->is_running = false;
    pthread_mutex_unlock(&herald->mutex);
    wake(herald);
    if (was_running)
        pthread_join(herald->thread, NULL);
    pthread_mutex_lock(&herald->mutex);
    close_sockets(herald);
    pthread_mutex_unlock(&herald->mutex);
}

void drop_herald_close(struct drop_herald *herald)
{
    assert(!herald->is_running);
    close_sockets(herald);
    drop_peers_close(&herald->peers);
    if (herald->epoll >= 0)
        close(herald->epoll);
    if (herald->wakeup >= 0)
        close(herald->wakeup);
    if (herald->event >= 0)
        close(herald->event);
    pthread_mutex_destroy(&herald->mutex);
    free(herald);
}

int drop_herald_event_fd(const struct drop_herald *herald)
{
    return herald->event;
}

uint64_t drop_herald_session(struct drop_herald *herald)
{
    pthread_mutex_lock(&herald->mutex);
    uint64_t session = herald->peers.session;
    pthread_mutex_unlock(&herald->mutex);
    return session;
}

/* ---- what it says ---- */

/* Under the mutex: the next beacon is due, and is the first of those that ask for an answer. */
static void greet(struct drop_herald *herald)
{
    herald->greetings = 0;
    herald->beacon_at = 0;
    wake(herald);
}

void drop_herald_set_keys(struct drop_herald *herald, const struct drop_beacon_keys *keys)
{
    pthread_mutex_lock(&herald->mutex);
    bool is_first = herald->keys.count == 0;
    herald->keys = *keys;
    for (size_t i = 0; herald->counters.is_filtered && i < herald->lines_count; i++)
        drop_heraldfilter_attach(herald->lines[i].fd, keys);
    if (is_first)
        greet(herald);
    pthread_mutex_unlock(&herald->mutex);
}

int drop_herald_announce(struct drop_herald *herald, const struct drop_beacon *content)
{
    if (!drop_beacon_text_valid(content))
        return EINVAL;
    pthread_mutex_lock(&herald->mutex);
    herald->content.port = content->port;
    herald->content.name_length = content->name_length;
    herald->content.namespace_length = content->namespace_length;
    herald->content.version_length = content->version_length;
    herald->content.addresses = content->addresses;
    herald->content.text_length = herald->text.length = content->text_length;
    memcpy(herald->text.bytes, content->text, content->text_length);
    herald->beacon_at = 0;
    pthread_mutex_unlock(&herald->mutex);
    wake(herald);
    return 0;
}

void drop_herald_set_load(struct drop_herald *herald, const struct drop_herald_load *load)
{
    pthread_mutex_lock(&herald->mutex);
    herald->content.load = load->load;
    herald->content.cpus = load->cpus;
    herald->content.workers = load->workers;
    herald->content.memory_mib = load->memory_mib;
    pthread_mutex_unlock(&herald->mutex);
}

int drop_herald_set_identity(struct drop_herald *herald, const uint8_t *node_id,
                             uint64_t incarnation)
{
    uint64_t session;
    if (incarnation == 0)
        return EINVAL;
    if (!drop_entropy(&session, sizeof session))
        return errno;
    pthread_mutex_lock(&herald->mutex);
    drop_peers_set_identity(&herald->peers, node_id, incarnation, session);
    herald->sequence = 0;
    herald->has_left = false;
    greet(herald);
    pthread_mutex_unlock(&herald->mutex);
    return 0;
}

void drop_herald_leave(struct drop_herald *herald)
{
    pthread_mutex_lock(&herald->mutex);
    for (unsigned i = 0; i < DROP_HERALD_LEAVES; i++)
        drop_heraldsend_all(herald, DROP_BEACON_LEAVE, 0, true);
    drop_heraldsend_flush(herald);
    herald->has_left = true;
    pthread_mutex_unlock(&herald->mutex);
}

void drop_herald_vouch(struct drop_herald *herald)
{
    pthread_mutex_lock(&herald->mutex);
    herald->vouched_at = drop_clock_ns();
    pthread_mutex_unlock(&herald->mutex);
}

/* ---- sockets ---- */

static bool is_group(const union drop_address *address)
{
    return address->any.sa_family == AF_INET ? IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr))
                                             : IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
}

static int line_for(struct drop_herald_line *line, const struct drop_herald_socket *socket,
                    struct drop_place *destinations)
{
    union drop_address address;
    socklen_t length = sizeof address;
    if (getsockname(socket->fd, &address.any, &length) != 0)
        return errno;
    int family = address.any.sa_family;
    if (family != AF_INET && family != AF_INET6)
        return EAFNOSUPPORT;
    for (size_t i = 0; i < socket->count; i++) {
        destinations[i] = socket->destinations[i];
        if (destinations[i].address.any.sa_family != family)
            return EAFNOSUPPORT;
    }
    if (socket->count > 0)
        qsort(destinations, socket->count, sizeof *destinations, drop_place_compare);
    *line = (struct drop_herald_line){.fd = socket->fd,
                                      .family = family,
                                      .is_group = is_group(&address),
                                      .destinations = destinations,
                                      .count = socket->count};
    return 0;
}

static int make_lines(struct drop_herald_line *lines, struct drop_place *destinations,
                      const struct drop_herald_socket *sockets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int error = line_for(&lines[i], &sockets[i], destinations);
        if (error)
            return error;
        for (size_t j = 0; j < sockets[i].count; j++)
            destinations[j].socket = (uint16_t)i;
        destinations += sockets[i].count;
    }
    return 0;
}

static void unwatch(const struct drop_herald *herald, const struct drop_herald_line *lines,
                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        epoll_ctl(herald->epoll, EPOLL_CTL_DEL, lines[i].fd, NULL);
}

/* All or none. */
static int watch(const struct drop_herald *herald, const struct drop_herald_line *lines,
                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(herald->epoll, EPOLL_CTL_ADD, lines[i].fd, &event) != 0) {
            int error = errno;
            unwatch(herald, lines, i);
            return error;
        }
    }
    return 0;
}

static void close_others(const struct drop_herald *herald, const struct drop_herald_line *lines,
                         size_t count)
{
    for (size_t i = 0; i < herald->lines_count; i++) {
        size_t j = 0;
        while (j < count && lines[j].fd != herald->lines[i].fd)
            j++;
        if (j == count)
            close(herald->lines[i].fd);
    }
}

/* Under the mutex. Out of epoll by hand: closing does that only with the last duplicate, and for a
 * moment there is one in every child that is being spawned. */
static int exchange(struct drop_herald *herald, const struct drop_herald_line *lines, size_t count)
{
    if (herald->is_stopping)
        return ESHUTDOWN;
    unwatch(herald, herald->lines, herald->lines_count);
    int error = watch(herald, lines, count);
    if (error) {
        watch(herald, herald->lines, herald->lines_count);
        return error;
    }
    close_others(herald, lines, count);
    memcpy(herald->lines, lines, count * sizeof *lines);
    herald->lines_count = count;
    herald->solicits_count = 0; /* they name sockets by their numbers */
    for (size_t i = 0; herald->counters.is_filtered && i < count; i++)
        drop_heraldfilter_attach(lines[i].fd, &herald->keys);
    greet(herald);
    return 0;
}

int drop_herald_set_sockets(struct drop_herald *herald, const struct drop_herald_socket *sockets,
                            size_t count, bool peers_too)
{
    struct drop_herald_line lines[DROP_HERALD_SOCKETS_MAX];
    size_t total = 0;
    if (count > DROP_HERALD_SOCKETS_MAX)
        return E2BIG;
    for (size_t i = 0; i < count; i++)
        total += sockets[i].count;
    if (total > DROP_HERALD_DESTINATIONS_MAX)
        return E2BIG;
    struct drop_place *destinations = calloc(total + 1, sizeof *destinations);
    int error = destinations ? make_lines(lines, destinations, sockets, count) : ENOMEM;
    pthread_mutex_lock(&herald->mutex);
    if (!error)
        error = exchange(herald, lines, count);
    if (!error) {
        struct drop_place *old = herald->destinations;
        herald->destinations = destinations;
        herald->peers_too = peers_too;
        destinations = old;
    }
    pthread_mutex_unlock(&herald->mutex);
    free(destinations);
    return error;
}
