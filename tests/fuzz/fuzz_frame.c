/* Any bytes as a frame, as it comes before its body and then with it: a good one is inside its own
 * bytes, and written again it is the same. */
#include <stdint.h>
#include <stdlib.h>

#include "frame.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())

static void check_request(const struct drop_frame *frame, const struct drop_request *request)
{
    const char *end = frame->body + frame->body_length;
    size_t head = drop_frame_has_payload(frame->type) ? 4 : 0;
    DEMAND(request->name == frame->body + head && request->name_length == frame->code);
    DEMAND(request->payload == request->name + request->name_length);
    DEMAND(request->payload + request->payload_length == end);
}

static void check_body(const struct drop_frame *frame)
{
    struct drop_request request;
    struct drop_hello hello;
    if (frame->type == DROP_HELLO) {
        if (!drop_frame_hello(frame, &hello))
            DEMAND(hello.token + hello.token_length == frame->body + frame->body_length);
    } else if (drop_frame_has_payload(frame->type)) {
        if (!drop_frame_message(frame, &request))
            check_request(frame, &request);
    } else if (frame->type != DROP_PING && frame->type != DROP_UNSUBSCRIBE) {
        if (!drop_frame_named(frame, &request)) {
            check_request(frame, &request);
            DEMAND(!frame->code || drop_name_valid(request.name, request.name_length));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct drop_frame frame;
    char again[DROP_FRAME_HEADER];
    if (size < DROP_FRAME_HEADER)
        return 0;
    const char *bytes = (const char *)data;
    if (drop_frame_header(bytes, &frame))
        return 0;
    drop_frame_put(again, frame.type, frame.flags, frame.code, frame.id, frame.body_length);
    DEMAND(memcmp(again, bytes, sizeof again) == 0);
    if (frame.body_length > size - DROP_FRAME_HEADER)
        return 0;
    char *body = malloc(frame.body_length); /* of exactly this size: reading past it is found */
    if (!body)
        return 0;
    memcpy(body, bytes + DROP_FRAME_HEADER, frame.body_length);
    frame.body = body;
    check_body(&frame);
    free(body);
    return 0;
}
