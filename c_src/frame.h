/* Frames of the binary protocol, docs/protocol.md: layouts only, no I/O, no memory of its own.
 *
 * Parsing borrows: names and payloads point into the caller's bytes. A header is checked before
 * its body has arrived, so that a length is judged before anything waits for it. */
#ifndef DROP_FRAME_H
#define DROP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DROP_FRAME_HEADER 16u
#define DROP_FRAME_LENGTH_MIN 12u
#define DROP_FRAME_LENGTH_MAX 0x7fffffffu
#define DROP_FRAME_VERSION 1u

enum drop_frame_type {
    DROP_HELLO = 0x01,
    DROP_CALL = 0x02,
    DROP_CAST = 0x03,
    DROP_PUBLISH = 0x04,
    DROP_SUBSCRIBE = 0x05,
    DROP_UNSUBSCRIBE = 0x06,
    DROP_CANCEL = 0x07,
    DROP_PING = 0x08,
    DROP_STATISTICS = 0x09,
    DROP_WELCOME = 0x81,
    DROP_ANSWER = 0x82,
    DROP_EVENT = 0x85,
    DROP_PONG = 0x88,
    DROP_GOAWAY = 0x8f,
};

#define DROP_FLAG_WAIT 0x01u /* SUBSCRIBE: slow the pool down rather than lose an event */
#define DROP_FLAG_GAP 0x01u  /* EVENT: the body counts what was lost */
#define DROP_FLAG_PARTS 0x01u /* CALL: the answer may come in parts */
#define DROP_FLAG_MORE 0x01u  /* ANSWER: a part, and not the last one */

struct drop_frame {
    uint32_t body_length;
    uint8_t type;
    uint8_t flags;
    uint8_t code;
    uint64_t id;
    const char *body; /* set by the caller once the body is there */
};

/* CALL, CAST and PUBLISH, SUBSCRIBE (payload: the filter), CANCEL, STATISTICS (no payload). */
struct drop_request {
    const char *name;
    const char *payload;
    uint32_t name_length;
    uint32_t payload_length;
    uint32_t timeout_ms;
};

struct drop_hello {
    const char *token;
    uint16_t token_length;
    uint8_t version_min;
    uint8_t version_max;
};

static inline uint32_t drop_get_u32(const char *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap32(value);
}

static inline uint64_t drop_get_u64(const char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}

static inline void drop_put_u32(char *bytes, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(bytes, &value, sizeof value);
}

static inline void drop_put_u64(char *bytes, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(bytes, &value, sizeof value);
}

/* Reads a header of 16 bytes. NULL when it is well formed, otherwise what is wrong with it, in
 * words. */
const char *drop_frame_header(const char *bytes, struct drop_frame *frame);

/* Whether the frame carries a payload that only `payload_max` bounds. */
static inline bool drop_frame_has_payload(uint8_t type)
{
    return type == DROP_CALL || type == DROP_CAST || type == DROP_PUBLISH;
}

/* Splits the body of CALL, CAST, PUBLISH. NULL or what is wrong. */
static inline const char *drop_frame_message(const struct drop_frame *frame,
                                             struct drop_request *request)
{
    if (frame->body_length < 4u + frame->code)
        return "the body is shorter than its timeout and the name it announces";
    request->timeout_ms = drop_get_u32(frame->body);
    request->name = frame->body + 4;
    request->name_length = frame->code;
    request->payload = frame->body + 4 + frame->code;
    request->payload_length = frame->body_length - 4u - frame->code;
    return NULL;
}

/* Splits the body of SUBSCRIBE, CANCEL, STATISTICS. NULL or what is wrong. */
const char *drop_frame_named(const struct drop_frame *frame, struct drop_request *request);
const char *drop_frame_hello(const struct drop_frame *frame, struct drop_hello *hello);

/* Whether bytes make a pool's name. */
bool drop_name_valid(const char *name, size_t length);

/* Writes a header of 16 bytes for a body of `body_length`. */
static inline void drop_frame_put(char *bytes, uint8_t type, uint8_t flags, uint8_t code,
                                  uint64_t id, uint32_t body_length)
{
    drop_put_u32(bytes, body_length + DROP_FRAME_LENGTH_MIN);
    bytes[4] = (char)type;
    bytes[5] = (char)flags;
    bytes[6] = (char)code;
    bytes[7] = 0;
    drop_put_u64(bytes + 8, id);
}

#endif
