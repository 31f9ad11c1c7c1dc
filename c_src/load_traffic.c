/* Calls out, answers in; see load.h and load_traffic.h. */
#include "load_traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "status.h"

#define HEADER DROP_LOAD_HEADER
#define TYPE_CALL 0x02u
#define TYPE_ANSWER 0x82u
#define TYPE_GOAWAY 0x8fu
#define ANSWER_OK (TYPE_ANSWER << 24 | DROP_OK << 8) /* type, flags, code and reserved byte */
#define SLOT_BITS 16 /* of an id; the rest is the time of sending */
#define REST_NS (DROP_LOAD_REST_MS * DROP_NS_PER_MS)
#define WAKE_MAX 1024 /* slots woken at a time: the node gets 100 000 failing calls/s at most */

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static void write_u32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
}

static uint64_t read_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

static void write_u64(uint8_t *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof value);
}

int drop_load_fail(struct drop_load *load, enum drop_load_end end, int error, const char *text)
{
    load->result.end = end;
    load->result.error = error;
    if (text != NULL)
        snprintf(load->result.text, sizeof load->result.text, "%s", text);
    return -1;
}

static int fail_frame(struct drop_load *load, const uint8_t *header, const char *what)
{
    char text[DROP_LOAD_TEXT_MAX];
    snprintf(text, sizeof text, "%s: length %u, type 0x%02x, flags 0x%02x, code %u, id 0x%016llx",
             what, read_u32(header), header[4], header[5], header[6],
             (unsigned long long)read_u64(header + 8));
    return drop_load_fail(load, DROP_LOAD_UNEXPECTED, 0, text);
}

/* Queues the call of a slot. Everything but the id lies in the ring already. */
static inline void make_call(struct drop_load *load, struct drop_load_connection *connection,
                             uint64_t slot)
{
    size_t place = connection->out_sent + connection->out_left;
    if (place >= load->ring_length)
        place -= load->ring_length;
    uint64_t id = load->now << SLOT_BITS | slot;
    connection->calls[slot] = id;
    write_u64(connection->out + place + 8, id);
    connection->out_left += load->frame_length;
}

static int watch_writable(struct drop_load *load, struct drop_load_connection *connection,
                          bool wanted)
{
    if (connection->wants_writable == wanted)
        return 0;
    connection->wants_writable = wanted;
    if (load->epoll < 0)
        return 0;
    struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        return drop_load_fail(load, DROP_LOAD_SYSTEM, errno, "epoll_ctl");
    return 0;
}

int drop_load_flush(struct drop_load *load, struct drop_load_connection *connection)
{
    while (connection->out_left != 0) {
        size_t length = load->ring_length - connection->out_sent;
        if (length > connection->out_left)
            length = connection->out_left;
        ssize_t sent = send(connection->fd, connection->out + connection->out_sent, length,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return watch_writable(load, connection, true);
        if (sent < 0 && errno == EINTR)
            continue;
        /* A node that says GOAWAY and closes is heard out: its frame may still wait to be read. */
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0;
        if (sent < 0)
            return drop_load_fail(load, DROP_LOAD_SYSTEM, errno, "send");
        load->result.writes++;
        connection->out_left -= (size_t)sent;
        connection->out_sent += (size_t)sent;
        if (connection->out_sent == load->ring_length)
            connection->out_sent = 0;
    }
    connection->out_sent = 0; /* the next batch lies in one piece */
    return watch_writable(load, connection, false);
}

/* Takes a slot that was answered by an error out of use until drop_load_wake(). */
static void rest_slot(struct drop_load *load, struct drop_load_connection *connection,
                      uint64_t slot)
{
    if (load->resting == NULL)
        load->wake_at = load->now + REST_NS;
    if (connection->resting == 0) {
        connection->resting_next = load->resting;
        load->resting = connection;
    }
    connection->calls[slot] = connection->resting;
    connection->resting = slot + 1;
    load->outstanding--;
}

int drop_load_wake(struct drop_load *load)
{
    if (load->resting == NULL || load->now < load->wake_at || load->phase >= DROP_LOAD_DRAINING)
        return 0;
    unsigned left = WAKE_MAX;
    while (load->resting != NULL && left != 0) {
        struct drop_load_connection *connection = load->resting;
        for (; connection->resting != 0 && left != 0; left--) {
            uint64_t slot = connection->resting - 1;
            connection->resting = connection->calls[slot];
            make_call(load, connection, slot);
            load->outstanding++;
        }
        if (connection->resting == 0)
            load->resting = connection->resting_next;
        if (drop_load_flush(load, connection) != 0)
            return -1;
    }
    load->wake_at = load->now + REST_NS;
    return 0;
}

int drop_load_start(struct drop_load *load, struct drop_load_connection *connection)
{
    drop_load_read_clock(load);
    for (uint32_t slot = 0; slot < load->plan.depth; slot++)
        make_call(load, connection, slot);
    load->outstanding += load->plan.depth;
    return drop_load_flush(load, connection);
}

/* A whole ANSWER is here. */
static inline int take_answer(struct drop_load *load, struct drop_load_connection *connection,
                              uint64_t id, unsigned status)
{
    uint64_t slot = id & (DROP_LOAD_DEPTH_MAX - 1);
    if (__builtin_expect(slot >= load->plan.depth || connection->calls[slot] != id, 0))
        return 1;
    load->answers++;
    if (__builtin_expect(load->phase == DROP_LOAD_DRAINING, 0)) {
        connection->calls[slot] = 0;
        load->outstanding--;
    } else if (__builtin_expect(status != DROP_OK, 0)) {
        load->result.errors[status]++;
        rest_slot(load, connection, slot);
    } else {
        drop_histogram_add(&load->result.latency, load->now - (id >> SLOT_BITS), 1);
        make_call(load, connection, slot);
    }
    return 0;
}

/* Looks at a piece of a body, which lies `taken` bytes into it. */
static int look_at_body(struct drop_load *load, const uint8_t *header, size_t taken,
                        const uint8_t *piece, size_t length)
{
    bool ok = header[4] == TYPE_ANSWER && header[6] == DROP_OK;
    if (ok && load->plan.verify) {
        size_t expected = load->plan.payload_length;
        if (read_u32(header) - 12 != expected || memcmp(load->payload + taken, piece, length) != 0)
            return drop_load_fail(load, DROP_LOAD_ALTERED, 0, NULL);
    }
    bool goaway = header[4] == TYPE_GOAWAY;
    if (!ok && taken == 0 && (goaway || load->result.text[0] == 0)) {
        size_t kept = length < DROP_LOAD_TEXT_MAX - 1 ? length : DROP_LOAD_TEXT_MAX - 1;
        memcpy(load->result.text, piece, kept);
        load->result.text[kept] = 0;
        load->result.status = header[6];
    }
    return 0;
}

/* The last byte of a frame has been seen. */
static inline int end_frame(struct drop_load *load, struct drop_load_connection *connection,
                            const uint8_t *header)
{
    if (header[4] == TYPE_ANSWER && (header[5] | header[7]) == 0) {
        if (take_answer(load, connection, read_u64(header + 8), header[6]) == 0)
            return 0;
        return fail_frame(load, header, "an answer to no outstanding call");
    }
    if (header[4] == TYPE_GOAWAY) {
        load->result.status = header[6];
        return drop_load_fail(load, DROP_LOAD_GOAWAY, 0, NULL);
    }
    return fail_frame(load, header, "a frame that is no answer");
}

/* Consumes what is there of a frame in pieces; returns where it stopped, NULL on failure. */
static const uint8_t *take_piece(struct drop_load *load, struct drop_load_connection *connection,
                                 const uint8_t *at, const uint8_t *end)
{
    size_t wanted = HEADER - connection->header_length;
    size_t length = (size_t)(end - at) < wanted ? (size_t)(end - at) : wanted;
    memcpy(connection->header + connection->header_length, at, length);
    connection->header_length += (uint32_t)length;
    at += length;
    if (connection->header_length < HEADER)
        return at;
    if (read_u32(connection->header) < HEADER - 4) {
        fail_frame(load, connection->header, "a frame that is too short");
        return NULL;
    }
    size_t left = read_u32(connection->header) - (HEADER - 4) - connection->body_taken;
    length = (size_t)(end - at) < left ? (size_t)(end - at) : left;
    if (look_at_body(load, connection->header, connection->body_taken, at, length) != 0)
        return NULL;
    connection->body_taken += (uint32_t)length;
    if (length == left) {
        connection->header_length = 0;
        connection->body_taken = 0;
        if (end_frame(load, connection, connection->header) != 0)
            return NULL;
    }
    return at + length;
}

/* The usual case, in registers: whole `ok` answers to outstanding calls, one behind the other. What
 * is anything else is left to consume(), which starts where this returns. */
static const uint8_t *take_good_answers(struct drop_load *load,
                                        struct drop_load_connection *connection,
                                        const uint8_t *at, const uint8_t *end)
{
    const uint64_t now = load->now, depth = load->plan.depth;
    const size_t frame_length = load->frame_length, ring_length = load->ring_length;
    uint64_t *const calls = connection->calls;
    uint8_t *const out = connection->out;
    size_t place = (connection->out_sent + connection->out_left) % ring_length;
    uint64_t count = 0;
    while ((size_t)(end - at) >= HEADER && read_u32(at + 4) == ANSWER_OK) {
        size_t size = 4 + (size_t)read_u32(at);
        uint64_t id = read_u64(at + 8), slot = id & (DROP_LOAD_DEPTH_MAX - 1);
        if (size < HEADER || size > (size_t)(end - at) || slot >= depth || calls[slot] != id)
            break;
        drop_histogram_add(&load->result.latency, now - (id >> SLOT_BITS), 1);
        id = now << SLOT_BITS | slot;
        calls[slot] = id;
        write_u64(out + place + 8, id);
        place = place + frame_length == ring_length ? 0 : place + frame_length;
        count++;
        at += size;
    }
    connection->out_left += count * frame_length;
    load->answers += count;
    return at;
}

static int consume(struct drop_load *load, struct drop_load_connection *connection,
                   const uint8_t *at, const uint8_t *end)
{
    const bool verify = load->plan.verify;
    const bool plain = !verify && load->phase != DROP_LOAD_DRAINING;
    while (at != end) {
        if (plain && connection->header_length == 0) {
            at = take_good_answers(load, connection, at, end);
            if (at == end)
                break;
        }
        size_t length = (size_t)(end - at);
        size_t size = length < HEADER ? SIZE_MAX : 4 + (size_t)read_u32(at);
        if (connection->header_length != 0 || size > length || size < HEADER) {
            at = take_piece(load, connection, at, end);
            if (at == NULL)
                return -1;
            continue;
        }
        if ((verify || at[4] != TYPE_ANSWER || at[6] != DROP_OK) &&
            look_at_body(load, at, 0, at + HEADER, size - HEADER) != 0)
            return -1;
        if (end_frame(load, connection, at) != 0)
            return -1;
        at += size;
    }
    return 0;
}

int drop_load_receive(struct drop_load *load, struct drop_load_connection *connection, int flags)
{
    ssize_t length = recv(connection->fd, load->receive, DROP_LOAD_RECEIVE_SIZE, flags);
    int error = length < 0 ? errno : 0;
    drop_load_read_clock(load);
    if (error == EAGAIN || error == EINTR)
        return 0;
    if (length == 0 || error == ECONNRESET)
        return drop_load_fail(load, DROP_LOAD_CLOSED, error, NULL);
    if (length < 0)
        return drop_load_fail(load, DROP_LOAD_SYSTEM, error, "recv");
    load->result.reads++;
    if (consume(load, connection, load->receive, load->receive + length) != 0)
        return -1;
    atomic_store_explicit(&load->progress, load->answers, memory_order_relaxed);
    return drop_load_flush(load, connection);
}

/* Fills the ring of a connection with `depth` copies of the call. */
static void encode_ring(const struct drop_load *load, struct drop_load_connection *connection)
{
    const struct drop_load_plan *plan = &load->plan;
    for (uint8_t *at = connection->out; at < connection->out + load->ring_length;) {
        write_u32(at, (uint32_t)(load->frame_length - 4));
        at[4] = TYPE_CALL;
        at[5] = 0;
        at[6] = plan->pool_length;
        at[7] = 0;
        write_u32(at + HEADER, plan->timeout_ms);
        at += DROP_LOAD_CALL_OVERHEAD;
        memcpy(at, plan->pool, plan->pool_length);
        at += plan->pool_length;
        memcpy(at, plan->payload, plan->payload_length);
        at += plan->payload_length;
    }
}

int drop_load_connection_init(struct drop_load *load, struct drop_load_connection *connection,
                              int fd)
{
    *connection = (struct drop_load_connection){.fd = fd};
    connection->calls = calloc(load->plan.depth, sizeof *connection->calls);
    connection->out = malloc(load->ring_length);
    if (connection->calls == NULL || connection->out == NULL)
        return -1;
    encode_ring(load, connection);
    if (load->payload == NULL)
        load->payload = connection->out + load->frame_length - load->plan.payload_length;
    return 0;
}

void drop_load_connection_close(struct drop_load_connection *connection)
{
    free(connection->calls);
    free(connection->out);
}

