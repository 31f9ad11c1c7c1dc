/* What the node's core makes of one frame from a client, and its inline functions, for ctypes.
 *
 * The order of the checks is that of connection.c and request.c: header, then body by type, then
 * name. */
#include "frame.h"
#include "length.h"
#include "line.h"

#define EXPORT __attribute__((visibility("default")))

/* A frame taken apart; offsets into its bytes. */
struct parts {
    uint32_t type, flags, code, body_length;
    uint64_t id;
    uint32_t name, name_length, payload, payload_length, timeout_ms;
};

EXPORT const char *take_header(const char *bytes, struct parts *parts);
EXPORT const char *take_apart(const char *bytes, struct parts *parts);
EXPORT void put_header(char *bytes, const struct parts *parts);
EXPORT void put_length(char *bytes, uint32_t length);
EXPORT uint64_t length_total(const char *bytes, size_t available);

static void note(struct parts *parts, const char *bytes, const struct drop_request *request)
{
    parts->name = (uint32_t)(request->name - bytes);
    parts->name_length = request->name_length;
    parts->payload = (uint32_t)(request->payload - bytes);
    parts->payload_length = request->payload_length;
    parts->timeout_ms = request->timeout_ms;
}

static const char *take_body(const char *bytes, const struct drop_frame *frame,
                             struct parts *parts)
{
    struct drop_request request;
    struct drop_hello hello;
    const char *fault = NULL;
    if (frame->type == DROP_HELLO)
        return drop_frame_hello(frame, &hello);
    if (frame->type == DROP_PING || frame->type == DROP_UNSUBSCRIBE)
        return NULL;
    fault = drop_frame_has_payload(frame->type) ? drop_frame_message(frame, &request)
                                                : drop_frame_named(frame, &request);
    if (fault)
        return fault;
    note(parts, bytes, &request);
    return frame->code && !drop_name_valid(request.name, request.name_length) ? "name" : NULL;
}

const char *take_header(const char *bytes, struct parts *parts)
{
    struct drop_frame frame = {0};
    const char *fault = drop_frame_header(bytes, &frame);
    *parts = (struct parts){.type = frame.type,
                            .flags = frame.flags,
                            .code = frame.code,
                            .body_length = frame.body_length,
                            .id = frame.id};
    return fault;
}

/* `bytes` hold the whole frame. */
const char *take_apart(const char *bytes, struct parts *parts)
{
    struct drop_frame frame;
    const char *fault = drop_frame_header(bytes, &frame);
    if (fault)
        return fault;
    take_header(bytes, parts);
    frame.body = bytes + DROP_FRAME_HEADER;
    return take_body(bytes, &frame, parts);
}

void put_header(char *bytes, const struct parts *parts)
{
    drop_frame_put(bytes, (uint8_t)parts->type, (uint8_t)parts->flags, (uint8_t)parts->code,
                   parts->id, parts->body_length);
}

void put_length(char *bytes, uint32_t length)
{
    drop_length_put(bytes, length);
}

uint64_t length_total(const char *bytes, size_t available)
{
    return drop_length_total(bytes, available);
}
