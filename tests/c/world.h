/* A real reactor turned by hand, with clients at sockets and workers at pipes, for tests and fuzz
 * targets.
 *
 * The reactor is not started, so a test decides when a turn happens and may look inside between two
 * turns. One source is always ready, hence no turn sleeps. Time passes by world_pass_ms only, apart
 * from the clock's own microseconds. What clients and workers do is done by the test, with plain
 * read and write on the other ends.
 */
#ifndef WORLD_H
#define WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "length.h"
#include "reactor.h"

enum {
    WORLD_TURNS = 8, /* more than the hops of any message in these tests */
    WORLD_MEMORY = 64 << 20,
    WORLD_PAYLOAD_MAX = 1 << 20,
};

struct world {
    struct drop_reactor *reactor;
    struct drop_source tick;
    struct drop_record *happenings; /* taken, in order */
    struct drop_record *current;    /* the last one looked at */
    uint64_t ids;
};

struct world_worker {
    uint64_t id;
    int input;  /* what it reads: its stdin */
    int output; /* what it writes: its stdout */
};

/* A client's end; `bytes` holds what came and was not looked at. */
struct world_client {
    struct drop_connection *connection;
    int fd;
    char *bytes;
    size_t start;
    size_t end;
    size_t capacity;
};

/* A frame that a client got; the body is valid until the next call. */
struct world_frame {
    uint8_t type;
    uint8_t flags;
    uint8_t code;
    uint64_t id;
    const char *body;
    size_t length;
};

/* What a test cannot go on without. */
static inline void world_need(bool condition, const char *what)
{
    if (condition)
        return;
    perror(what);
    abort();
}

static inline void world_tick(struct drop_reactor *reactor, struct drop_source *source,
                              uint32_t events)
{
    (void)reactor;
    (void)source;
    (void)events;
}

static inline struct drop_reactor_options world_options(void)
{
    return (struct drop_reactor_options){
        .node_name = "n1",
        .payload_max = WORLD_PAYLOAD_MAX,
        .connections_max = 100,
        .calls_max = 65536,
        .slow_client_ms = 10000,
        .memory_max = WORLD_MEMORY,
    };
}

static inline void world_open(struct world *world, const struct drop_reactor_options *options)
{
    signal(SIGPIPE, SIG_IGN); /* the node may close before a worker of ours has written */
    *world = (struct world){.reactor = drop_reactor_create(options)};
    world_need(world->reactor != NULL, "drop_reactor_create");
    world->tick = (struct drop_source){.fd = eventfd(1, EFD_CLOEXEC), .ready = world_tick};
    world_need(drop_reactor_watch(world->reactor, &world->tick, EPOLLIN) == 0, "eventfd");
}

static inline void world_forget_happenings(struct world *world)
{
    free(world->current);
    world->current = NULL;
    while (world->happenings) {
        struct drop_record *next = world->happenings->next;
        free(world->happenings);
        world->happenings = next;
    }
}

/* How many things were left open; 0 is what every test expects. */
static inline uint64_t world_close(struct world *world)
{
    drop_reactor_unwatch(world->reactor, &world->tick);
    close(world->tick.fd);
    drop_reactor_stop(world->reactor);
    struct drop_reactor_leaks leaks = drop_reactor_leaks(world->reactor);
    drop_reactor_destroy(world->reactor);
    world_forget_happenings(world);
    return leaks.pools + leaks.workers + leaks.connections + leaks.memory + leaks.timers
           + leaks.pending;
}

static inline void world_turn(struct world *world)
{
    for (int i = 0; i < WORLD_TURNS; i++)
        drop_reactor_turn(world->reactor);
}

/* Fires every timer that is due within `ms`, and lets the reactor act on it. */
static inline void world_pass_ms(struct world *world, uint64_t ms)
{
    world->reactor->now_ns = drop_clock_ns() + ms * DROP_NS_PER_MS;
    drop_timers_run(&world->reactor->timers, world->reactor->now_ns);
    world_turn(world);
}

static inline void world_command(struct world *world, enum drop_command kind, uint64_t a,
                                 uint64_t b, uint64_t c, const void *bytes, size_t length)
{
    struct drop_record *record = drop_record_create(kind, a, b, c, length);
    world_need(record != NULL, "drop_record_create");
    if (length)
        memcpy(record->bytes, bytes, length);
    drop_channel_send(&world->reactor->commands, record);
}

/* The next happening of that kind since the last call; NULL: none. Others on the way are gone. */
static inline const struct drop_record *world_happening(struct world *world,
                                                        enum drop_happening kind)
{
    struct drop_record **last = &world->happenings;
    while (*last)
        last = &(*last)->next;
    *last = drop_channel_take(&world->reactor->happenings);
    while (world->happenings) {
        free(world->current);
        world->current = world->happenings;
        world->happenings = world->current->next;
        if (world->current->kind == (uint32_t)kind)
            return world->current;
    }
    return NULL;
}

/* ---- pools, subscriptions and workers ---- */

static inline struct drop_pool_options world_pool_options(const char *name, enum drop_kind kind)
{
    struct drop_pool_options options = {
        .name_length = (uint32_t)strlen(name), .kind = kind, .inflight = 1, .queue = 4};
    memcpy(options.name, name, options.name_length);
    return options;
}

static inline struct drop_pool *world_pool_with(struct world *world,
                                                const struct drop_pool_options *options)
{
    uint64_t id = ++world->ids;
    world_command(world, DROP_COMMAND_POOL_CREATE, id, 0, 0, options, sizeof *options);
    world_turn(world);
    return drop_pool_by_id(world->reactor, id);
}

static inline struct drop_pool *world_pool(struct world *world, const char *name,
                                           enum drop_kind kind)
{
    struct drop_pool_options options = world_pool_options(name, kind);
    return world_pool_with(world, &options);
}

static inline uint64_t world_subscribe(struct world *world, const struct drop_pool *source,
                                       const struct drop_pool *target, bool broadcast,
                                       const char *filter)
{
    uint64_t id = ++world->ids;
    world_command(world, DROP_COMMAND_SUBSCRIBE, id, source->id, target->id << 1 | broadcast,
                  filter, strlen(filter));
    world_turn(world);
    return id;
}

/* One that is ready when it has written a line that begins with `ready`; known by `pid`, or 0. */
static inline struct world_worker world_worker_with(struct world *world,
                                                    const struct drop_pool *pool,
                                                    const char *ready, pid_t pid)
{
    char bytes[sizeof(struct drop_worker_parts) + 64];
    size_t length = strlen(ready);
    int to[2], from[2];
    world_need(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0, "pipe2");
    struct world_worker worker = {++world->ids, to[0], from[1]};
    fcntl(worker.input, F_SETFL, O_NONBLOCK);
    fcntl(worker.output, F_SETFL, O_NONBLOCK);
    struct drop_worker_parts parts = {
        .stdin_fd = to[1], .stdout_fd = from[0], .pid = pid, .ready_length = (uint32_t)length};
    memcpy(bytes, &parts, sizeof parts);
    memcpy(bytes + sizeof parts, ready, length);
    world_command(world, DROP_COMMAND_WORKER_ADD, pool->id, worker.id, 0, bytes,
                  sizeof parts + length);
    world_turn(world);
    return worker;
}

static inline struct world_worker world_worker(struct world *world, const struct drop_pool *pool)
{
    return world_worker_with(world, pool, "", 0);
}

/* What the worker finds in its stdin, as a string of at most size - 1 bytes; its length. */
static inline size_t world_read(const struct world_worker *worker, char *text, size_t size)
{
    ssize_t count = read(worker->input, text, size - 1);
    text[count > 0 ? count : 0] = '\0';
    return count > 0 ? (size_t)count : 0;
}

/* The worker writes all of it, as far as its pipe takes it. */
static inline size_t world_write(const struct world_worker *worker, const void *bytes,
                                 size_t length)
{
    ssize_t count = write(worker->output, bytes, length);
    return count > 0 ? (size_t)count : 0;
}

static inline void world_say(struct world *world, const struct world_worker *worker,
                             const char *text)
{
    world_need(world_write(worker, text, strlen(text)) == strlen(text), "world_say");
    world_turn(world);
}

static inline void world_die(struct world *world, struct world_worker *worker)
{
    close(worker->input);
    close(worker->output);
    worker->input = worker->output = -1;
    world_turn(world);
}

/* ---- clients ---- */

static inline struct world_client world_connect(struct world *world, bool trusted)
{
    int ends[2];
    world_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0,
               "socketpair");
    struct world_client client = {.fd = ends[0]};
    client.connection = drop_connection_create(world->reactor, ends[1], trusted);
    world_need(client.connection != NULL, "drop_connection_create");
    return client;
}

static inline void world_hang_up(struct world *world, struct world_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->bytes);
    client->bytes = NULL;
    client->start = client->end = client->capacity = 0;
    world_turn(world);
}

/* Sends as much as the socket takes; how much that was. */
static inline size_t world_send(const struct world_client *client, const void *bytes,
                                size_t length)
{
    ssize_t count = send(client->fd, bytes, length, MSG_NOSIGNAL);
    return count > 0 ? (size_t)count : 0;
}

/* A frame whose body is `name` and `rest`, with a timeout in front for those that have one. */
static inline size_t world_put(char *place, enum drop_frame_type type, uint64_t id,
                               const char *name, const char *rest, size_t length)
{
    size_t name_length = strlen(name);
    size_t head = drop_frame_has_payload((uint8_t)type) ? 4 : 0;
    size_t body = head + name_length + length;
    drop_frame_put(place, (uint8_t)type, 0, (uint8_t)name_length, id, (uint32_t)body);
    memset(place + DROP_FRAME_HEADER, 0, head);
    memcpy(place + DROP_FRAME_HEADER + head, name, name_length);
    if (length)
        memcpy(place + DROP_FRAME_HEADER + head + name_length, rest, length);
    return DROP_FRAME_HEADER + body;
}

static inline void world_ask(const struct world_client *client, enum drop_frame_type type,
                             uint64_t id, const char *name, const char *rest)
{
    char frame[4096];
    size_t length = world_put(frame, type, id, name, rest, strlen(rest));
    if (world_send(client, frame, length) != length)
        world_need(errno == EPIPE || errno == ECONNRESET, "world_ask"); /* the node hung up */
}

static inline size_t world_put_hello(char *place)
{
    static const char body[8] = "DROP\1\1\0\0";
    drop_frame_put(place, DROP_HELLO, 0, 0, 0, sizeof body);
    memcpy(place + DROP_FRAME_HEADER, body, sizeof body);
    return DROP_FRAME_HEADER + sizeof body;
}

/* Takes everything that the socket has. False: the node has closed it, or reset it. */
static inline bool world_receive(struct world_client *client)
{
    enum { PIECE = 16 << 10 };
    for (;;) {
        if (client->capacity - client->end < PIECE) {
            if (client->start)
                memmove(client->bytes, client->bytes + client->start, client->end - client->start);
            client->end -= client->start;
            client->start = 0;
        }
        if (client->capacity - client->end < PIECE) {
            client->capacity = 2 * (client->end + PIECE);
            client->bytes = realloc(client->bytes, client->capacity);
            world_need(client->bytes != NULL, "realloc");
        }
        ssize_t count = recv(client->fd, client->bytes + client->end, PIECE, 0);
        if (count <= 0)
            return count < 0 && errno == EAGAIN;
        client->end += (size_t)count;
    }
}

/* The next whole frame of what was received. */
static inline bool world_frame(struct world_client *client, struct world_frame *frame)
{
    const char *at = client->bytes + client->start;
    if (client->end - client->start < DROP_FRAME_HEADER)
        return false;
    size_t total = (size_t)drop_get_u32(at) + 4;
    if (client->end - client->start < total)
        return false;
    *frame = (struct world_frame){
        .type = (uint8_t)at[4],
        .flags = (uint8_t)at[5],
        .code = (uint8_t)at[6],
        .id = drop_get_u64(at + 8),
        .body = at + DROP_FRAME_HEADER,
        .length = total - DROP_FRAME_HEADER,
    };
    client->start += total;
    return true;
}

/* The next frame from the node, however many turns it takes to send; a type of 0 when there is
 * none. */
static inline struct world_frame world_hear(struct world *world, struct world_client *client)
{
    struct world_frame frame = {0};
    for (;;) {
        if (client->bytes && world_frame(client, &frame))
            return frame;
        size_t before = client->end - client->start;
        world_turn(world);
        world_receive(client);
        if (client->end - client->start == before)
            return frame;
    }
}

/* A connection that has said HELLO and was welcomed. */
static inline struct world_client world_join(struct world *world)
{
    struct world_client client = world_connect(world, true);
    char hello[64];
    size_t length = world_put_hello(hello);
    world_need(world_send(&client, hello, length) == length, "world_join");
    world_need(world_hear(world, &client).type == DROP_WELCOME, "WELCOME");
    return client;
}

#endif
