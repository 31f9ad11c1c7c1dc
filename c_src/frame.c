/* What makes a frame well formed, type by type; see frame.h. */
#include "frame.h"

#include "limits.h"

enum name_rule { NO_NAME, NEEDS_NAME, MAY_NAME };

/* One row per type that a client may send. */
struct rule {
    uint8_t flags; /* the bits that may be set */
    enum name_rule name;
    uint32_t body_min;
    uint32_t body_max;
};

#define ANY_PAYLOAD (DROP_FRAME_LENGTH_MAX - DROP_FRAME_LENGTH_MIN)

static const struct rule rules[] = {
    [DROP_HELLO] = {0, NO_NAME, 8, DROP_SMALL_BODY_MAX},
    [DROP_CALL] = {DROP_FLAG_PARTS, NEEDS_NAME, 5, ANY_PAYLOAD},
    [DROP_CAST] = {0, NEEDS_NAME, 5, ANY_PAYLOAD},
    [DROP_PUBLISH] = {0, NEEDS_NAME, 5, ANY_PAYLOAD},
    [DROP_SUBSCRIBE] = {DROP_FLAG_WAIT, NEEDS_NAME, 1, DROP_SMALL_BODY_MAX},
    [DROP_UNSUBSCRIBE] = {0, NO_NAME, 0, 0},
    [DROP_CANCEL] = {0, NEEDS_NAME, 1, DROP_NAME_MAX},
    [DROP_PING] = {0, NO_NAME, 0, DROP_PING_MAX},
    [DROP_STATISTICS] = {0, MAY_NAME, 0, DROP_NAME_MAX},
};

const char *drop_frame_header(const char *bytes, struct drop_frame *frame)
{
    uint32_t length = drop_get_u32(bytes);
    uint8_t type = (uint8_t)bytes[4];
    frame->type = type;
    frame->flags = (uint8_t)bytes[5];
    frame->code = (uint8_t)bytes[6];
    frame->id = drop_get_u64(bytes + 8);
    if (length < DROP_FRAME_LENGTH_MIN || length > DROP_FRAME_LENGTH_MAX)
        return "the length is not between 12 and 2147483647";
    frame->body_length = length - DROP_FRAME_LENGTH_MIN;
    if (type == 0 || type >= sizeof rules / sizeof rules[0])
        return "the type is unknown";
    const struct rule *rule = &rules[type];
    if ((frame->flags & ~rule->flags) || bytes[7])
        return "a flag or reserved byte that has no meaning is set";
    if (rule->name == NO_NAME ? frame->code != 0
                              : frame->code > DROP_NAME_MAX
                                    || (frame->code == 0 && rule->name == NEEDS_NAME))
        return "the length of the pool's name is not between 1 and 128";
    if (frame->body_length < rule->body_min || frame->body_length > rule->body_max)
        return "the body is too short or too long for the type";
    return NULL;
}

const char *drop_frame_named(const struct drop_frame *frame, struct drop_request *request)
{
    if (frame->body_length < frame->code)
        return "the body is shorter than the name it announces";
    request->timeout_ms = 0;
    request->name = frame->body;
    request->name_length = frame->code;
    request->payload = frame->body + frame->code;
    request->payload_length = frame->body_length - frame->code;
    if (request->payload_length && frame->type != DROP_SUBSCRIBE)
        return "there are bytes behind the name";
    if (frame->code && !drop_name_valid(request->name, request->name_length))
        return "the pool's name has bytes other than A-Z a-z 0-9 _ . : - / $";
    return NULL;
}

const char *drop_frame_hello(const struct drop_frame *frame, struct drop_hello *hello)
{
    const char *body = frame->body;
    if (memcmp(body, "DROP", 4) != 0)
        return "the magic DROP is missing";
    hello->version_min = (uint8_t)body[4];
    hello->version_max = (uint8_t)body[5];
    hello->token_length = (uint16_t)((uint8_t)body[6] << 8 | (uint8_t)body[7]);
    hello->token = body + 8;
    if (frame->body_length != 8u + hello->token_length || hello->token_length > DROP_TOKEN_MAX)
        return "the length of the token does not fit the frame";
    return NULL;
}

bool drop_name_valid(const char *name, size_t length)
{
    if (length == 0 || length > DROP_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= ':')
                    || c == '_' || c == '.' || c == '-' || c == '/' || (c == '$' && i == 0);
        if (!good)
            return false;
    }
    return true;
}
