/* A herald with a real socket, and another node played by the test: a socket and a packet.
 *
 * Waiting is for packets or for the herald's event, never for time; WAIT_MS only ends a test that
 * hangs. Counters have no event: they are looked at again after each beacon of the herald's. */
#ifndef HERALD_WORLD_H
#define HERALD_WORLD_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "beacons.h"
#include "check.h"
#include "herald.h"
#include "heraldthread.h"

#define INTERVAL_MS 20
#define WAIT_MS 20000
#define MS UINT64_C(1000000)

static const uint8_t own_id[DROP_BEACON_ID] = "our own node id";
static const uint8_t node_id[DROP_BEACON_ID] = "the other's id!";

static struct {
    struct drop_herald *herald;
    struct drop_place place; /* of the herald's socket */
    int fd;                  /* the herald's socket; its own */
    int node;                /* the test's socket */
    struct drop_beacon_keys keys;
    struct drop_beacon beacon; /* what the test says next */
    struct packet received;
    struct drop_beacon heard; /* borrows from `received` */
} world;

/* A socket on 127.0.0.1, and where it is. */
static inline int open_socket(struct drop_place *place)
{
    socklen_t length = sizeof place->address.v4;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(place, 0, sizeof *place);
    place->address.v4.sin_family = AF_INET;
    place->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, &place->address.any, length) != 0 ||
        getsockname(fd, &place->address.any, &length) != 0)
        abort();
    return fd;
}

static inline int use_socket(int fd, const struct drop_place *destination)
{
    struct drop_herald_socket line = {.fd = fd, .destinations = destination, .count = 1};
    return drop_herald_set_sockets(world.herald, &line, 1, false);
}

static inline int announce_name(const char *text)
{
    struct drop_beacon content = beacon_of(own_id);
    content.text = (const uint8_t *)text;
    return drop_herald_announce(world.herald, &content);
}

/* A herald that speaks to the test, and runs. */
static inline void set_up(void)
{
    struct drop_place node;
    memset(&world, 0, sizeof world);
    CHECK_EQUAL(drop_herald_open(&world.herald, own_id, 50, INTERVAL_MS, 16), 0);
    world.fd = open_socket(&world.place);
    world.node = open_socket(&node);
    world.keys = keys_of(1, 0);
    world.beacon = beacon_of(node_id);
    drop_herald_set_keys(world.herald, &world.keys);
    CHECK_EQUAL(announce_name(BEACON_TEXT), 0);
    CHECK_EQUAL(use_socket(world.fd, &node), 0);
    CHECK_EQUAL(drop_herald_start(world.herald), 0);
}

static inline void tear_down(void)
{
    drop_herald_stop(world.herald);
    drop_herald_close(world.herald);
    close(world.node);
}

static inline void send_bytes(const uint8_t *bytes, size_t length)
{
    const struct sockaddr *to = &world.place.address.any;
    if (sendto(world.node, bytes, length, 0, to, sizeof world.place.address.v4) < 0)
        abort();
}

/* Says the packet as it is now; the next one is the next of its sequence. */
static inline struct packet say(enum drop_beacon_type type, uint64_t nonce)
{
    world.beacon.type = (uint8_t)type;
    world.beacon.nonce = nonce;
    struct packet packet = packet_of(&world.beacon, &world.keys);
    world.beacon.sequence++;
    send_bytes(packet.bytes, packet.length);
    return packet;
}

static inline bool readable(int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    return poll(&waiting, 1, WAIT_MS) == 1;
}

/* Receives the next packet of the herald's on a socket; false: there is none. */
static inline bool hear_on(int fd)
{
    if (!readable(fd))
        return false;
    ssize_t length = recv(fd, world.received.bytes, sizeof world.received.bytes, 0);
    world.received.length = length > 0 ? (size_t)length : 0;
    return drop_beacon_decode(world.received.bytes, world.received.length, &world.keys,
                              &world.heard) == DROP_BEACON_ACCEPTED &&
           drop_beacon_verify(world.received.bytes, world.received.length, &world.keys,
                              &world.heard);
}

/* The next packet of a type, past others; of beacons only one that echoes when `nonce` is not 0. */
static inline bool hear(enum drop_beacon_type type, uint64_t nonce)
{
    while (hear_on(world.node))
        if (world.heard.type == type && (nonce == 0 || world.heard.nonce == nonce))
            return true;
    return false;
}

/* The other node is met: it is heard, asked, and answers. */
static inline void meet(void)
{
    say(DROP_BEACON_BEACON, 0);
    REQUIRE(hear(DROP_BEACON_PROBE, 0));
    say(DROP_BEACON_BEACON, world.heard.nonce);
    REQUIRE(readable(drop_herald_event_fd(world.herald)));
}

static inline enum drop_peers_happening take(struct drop_peer *peer)
{
    uint64_t silent_ns;
    return drop_herald_take(world.herald, peer, &silent_ns);
}

static inline struct drop_herald_statistics statistics(void)
{
    struct drop_herald_statistics now;
    drop_herald_statistics(world.herald, &now);
    return now;
}

/* Waits, a beacon at a time, until the counters say so. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        while (!(condition))                                                                       \
            REQUIRE(hear_on(world.node));                                                          \
    } while (0)

#endif
