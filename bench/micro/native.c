/* Loops over the pure parts of c_src, and over the floor under each: code that finds the same bytes
 * and does nothing else. Loaded by native.py for its time, run as a program under callgrind:
 *
 *     native CASE MESSAGES
 *
 * Every case returns the payload bytes it has seen, which is what the loop is for: it cannot be
 * optimised away, and the caller checks it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beacons.h"
#include "frame.h"
#include "line.h"
#include "logline.h"

#define PAYLOAD 100u
#define PACKET 200u /* bytes of a whole frame: the size of a beacon */
#define POOL "echo"
#define IN_BUFFER 512u /* messages: more than a read(2) brings, less than the L2 cache */

static char buffer[IN_BUFFER * (PACKET + 16u)];
static char log_out[DROP_LOGLINE_SIZE_MAX];

/* Fills the buffer with CALL frames; returns the size of one. */
static size_t put_frames(size_t payload)
{
    size_t body = 4 + strlen(POOL) + payload, size = DROP_FRAME_HEADER + body;
    for (size_t i = 0; i < IN_BUFFER; i++) {
        char *at = buffer + i * size;
        drop_frame_put(at, DROP_CALL, 0, (uint8_t)strlen(POOL), i, (uint32_t)body);
        drop_put_u32(at + DROP_FRAME_HEADER, 1000);
        memcpy(at + DROP_FRAME_HEADER + 4, POOL, strlen(POOL));
        memset(at + size - payload, 'x', payload);
    }
    return size;
}

static void put_lines(void)
{
    for (size_t i = 0; i < IN_BUFFER; i++) {
        memset(buffer + i * (PAYLOAD + 1), 'x', PAYLOAD);
        buffer[i * (PAYLOAD + 1) + PAYLOAD] = '\n';
    }
}

static uint64_t parse(size_t payload, uint64_t messages)
{
    size_t size = put_frames(payload);
    uint64_t seen = 0;
    for (uint64_t i = 0; i < messages; i++) {
        const char *at = buffer + i % IN_BUFFER * size;
        struct drop_frame frame;
        struct drop_request request;
        if (drop_frame_header(at, &frame))
            return 0;
        frame.body = at + DROP_FRAME_HEADER;
        if (drop_frame_message(&frame, &request) ||
            !drop_name_valid(request.name, request.name_length))
            return 0;
        seen += request.payload_length;
    }
    return seen;
}

static uint64_t frames(uint64_t messages)
{
    return parse(PAYLOAD, messages);
}

static uint64_t packets(uint64_t messages)
{
    return parse(PACKET - DROP_FRAME_HEADER - 4 - strlen(POOL), messages);
}

/* The floor: a length, an id, and where the payload is. */
static uint64_t frames_floor(uint64_t messages)
{
    size_t size = put_frames(PAYLOAD);
    uint64_t seen = 0, ids = 0;
    for (uint64_t i = 0; i < messages; i++) {
        const char *at = buffer + i % IN_BUFFER * size;
        uint32_t length;
        uint64_t id;
        memcpy(&length, at, sizeof length);
        memcpy(&id, at + 8, sizeof id);
        ids ^= id;
        seen += __builtin_bswap32(length) - 12u - 4u - (unsigned char)at[6];
    }
    return ids == 1 ? 0 : seen; /* never 1: the ids are used */
}

/* A payload is searched for a newline before a `line` worker may get it. */
static uint64_t lines_checked(uint64_t messages)
{
    put_lines();
    uint64_t seen = 0;
    for (uint64_t i = 0; i < messages; i++)
        seen += drop_line_fits(buffer + i % IN_BUFFER * (PAYLOAD + 1), PAYLOAD) ? PAYLOAD : 0;
    return seen;
}

static uint64_t log_lines(uint64_t messages)
{
    put_lines();
    struct drop_logline_stamp stamp = {0};
    struct drop_logline_tag tag;
    drop_logline_tag_set(&tag, POOL, strlen(POOL), 1, 1234);
    uint64_t seen = 0;
    for (uint64_t i = 0; i < messages; i++) {
        const char *at = buffer + i % IN_BUFFER * (PAYLOAD + 1);
        struct drop_logline_piece piece;
        drop_logline_cut(at, PAYLOAD + 1, false, &piece);
        drop_logline_stamp_set(&stamp, 1700000000, (long)(i % 1000000) * 1000);
        seen += drop_logline_format(log_out, &stamp, &tag, &piece) - DROP_LOGLINE_STAMP_SIZE -
                tag.length - 1;
    }
    return seen;
}

/* The floor: find the end of the line and copy it behind a prefix that never changes. */
static uint64_t log_lines_floor(uint64_t messages)
{
    put_lines();
    uint64_t seen = 0;
    for (uint64_t i = 0; i < messages; i++) {
        const char *at = buffer + i % IN_BUFFER * (PAYLOAD + 1);
        const char *newline = memchr(at, '\n', PAYLOAD + 1);
        size_t length = (size_t)(newline - at);
        memcpy(log_out + DROP_LOGLINE_STAMP_SIZE, at, length + 1);
        __asm__ volatile("" ::: "memory");
        seen += length;
    }
    return seen;
}

static const struct {
    const char *name;
    uint64_t (*run)(uint64_t messages);
} cases[] = {
    {"frames", frames},           {"frames-floor", frames_floor},
    {"packets", packets},         {"lines-checked", lines_checked},
    {"log-lines", log_lines},     {"log-lines-floor", log_lines_floor},
    {"beacons", bench_beacons},   {"beacons-floor", bench_beacons_tag},
    {"beacons-forged", bench_beacons_forged},
    {"beacons-foreign", bench_beacons_foreign},
    {"beacons-replayed", bench_beacons_replayed},
};

/* Payload bytes seen, 0 when something was wrong or there is no such case. */
uint64_t bench_run(const char *name, uint64_t messages);
uint64_t bench_run(const char *name, uint64_t messages)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, name) == 0)
            return cases[i].run(messages);
    return 0;
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: native CASE MESSAGES\n");
        return 2;
    }
    return bench_run(arguments[1], strtoull(arguments[2], NULL, 10)) == 0;
}
