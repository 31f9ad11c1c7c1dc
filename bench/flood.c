/* Sends packets of discovery to an address, as fast as the machine can, and says how many.
 *
 *     flood KIND ADDRESS PORT SECONDS [KEY]
 *
 * KIND: foreign   signed by a key that the receiver has not
 *       forged    the receiver's key id and a wrong tag (KEY, 64 hex digits, gives the id)
 *       replayed  one good packet again and again (KEY signs it)
 *       junk      200 bytes that are no packet of discovery
 * ADDRESS is a numeric IPv4 or IPv6 address. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "beacon.h"
#include "clock.h"

#define BATCH 64
#define TEXT "worker-07.example" "default" "0.4.0" "\x04\x0a\x00\x00\x01"

static uint8_t packets[BATCH][DROP_BEACON_MAX];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static bool read_key(const char *text, uint8_t key[DROP_BEACON_KEY])
{
    if (strlen(text) != 2 * DROP_BEACON_KEY)
        return false;
    for (size_t i = 0; i < DROP_BEACON_KEY; i++)
        if (sscanf(text + 2 * i, "%2hhx", &key[i]) != 1)
            return false;
    return true;
}

/* Packets of as many nodes; of one, when it is a replay. */
static bool make_packets(const char *kind, const struct drop_beacon_keys *keys)
{
    bool forged = strcmp(kind, "forged") == 0, replayed = strcmp(kind, "replayed") == 0;
    bool foreign = strcmp(kind, "foreign") == 0, junk = strcmp(kind, "junk") == 0;
    for (unsigned i = 0; i < BATCH; i++) {
        uint8_t id[DROP_BEACON_ID] = {'f', 'l', 'o', 'o', 'd', replayed ? 0 : (uint8_t)i};
        struct drop_beacon beacon = {
            .type = DROP_BEACON_BEACON, .port = 8085, .load = 50, .cpus = 8, .workers = 40,
            .memory_mib = 16000, .incarnation = 1, .session = 7, .sequence = 1, .node_id = id,
            .name_length = 17, .namespace_length = 7, .version_length = 5, .addresses = 1,
            .text_length = sizeof TEXT - 1, .text = (const uint8_t *)TEXT,
        };
        size_t length = drop_beacon_encode(&beacon, keys, packets[i]);
        if (forged)
            packets[i][length - 1] ^= 1;
        if (foreign)
            packets[i][8] ^= 1;
        if (junk)
            memset(packets[i], 'j', length = 200);
        vectors[i] = (struct iovec){packets[i], length};
    }
    return forged || replayed || foreign || junk;
}

static socklen_t read_address(const char *text, const char *port, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    uint16_t number = htons((uint16_t)atoi(port));
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = number;
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = number;
        return sizeof *v6;
    }
    return 0;
}

static uint64_t pour(int fd, double seconds, uint64_t *refused)
{
    uint64_t sent = 0, end = drop_clock_ns() + (uint64_t)(seconds * 1e9);
    while (drop_clock_ns() < end) {
        int count = sendmmsg(fd, messages, BATCH, 0);
        if (count > 0)
            sent += (unsigned)count;
        else
            ++*refused;
    }
    return sent;
}

int main(int count, char **arguments)
{
    struct drop_beacon_keys keys = {.count = 0};
    uint8_t key[DROP_BEACON_KEY] = {0};
    struct sockaddr_storage to;
    if (count < 5 || count > 6 || (count == 6 && !read_key(arguments[5], key)) ||
        !drop_beacon_keys_add(&keys, key) || !make_packets(arguments[1], &keys)) {
        fprintf(stderr, "usage: flood foreign|forged|replayed|junk ADDRESS PORT SECONDS [KEY]\n");
        return 2;
    }
    socklen_t length = read_address(arguments[2], arguments[3], &to);
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (length == 0 || fd < 0) {
        fprintf(stderr, "flood: %s is no numeric address\n", arguments[2]);
        return 2;
    }
    for (unsigned i = 0; i < BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
                                              .msg_namelen = length,
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1};
    double seconds = atof(arguments[4]);
    uint64_t refused = 0, sent = pour(fd, seconds, &refused);
    printf("%llu packets, %.0f a second, %llu refused\n", (unsigned long long)sent,
           (double)sent / seconds, (unsigned long long)refused);
    return 0;
}
