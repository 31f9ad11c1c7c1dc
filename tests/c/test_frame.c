/* Headers, bodies and names: what is well formed, at both sides of every limit and at the edge of a
 * page. */
#define _GNU_SOURCE
#include "check.h"
#include "edge.h"
#include "frame.h"
#include "../../c_src/limits.h" /* the system has one, too */

/* NULL or what is wrong with a header of these fields. */
static const char *fault_of(uint8_t type, uint8_t flags, uint8_t code, uint8_t reserved,
                            uint32_t length, struct drop_frame *frame)
{
    struct edge edge = edge_open();
    char *header = edge_place(&edge, DROP_FRAME_HEADER);
    drop_frame_put(header, type, flags, code, 0x0102030405060708, 0);
    drop_put_u32(header, length);
    header[7] = (char)reserved;
    const char *fault = drop_frame_header(header, frame);
    edge_close(&edge);
    return fault;
}

static bool good(uint8_t type, uint8_t flags, uint8_t code, uint32_t body)
{
    struct drop_frame frame;
    return fault_of(type, flags, code, 0, body + DROP_FRAME_LENGTH_MIN, &frame) == NULL;
}

static void test_integers(void)
{
    char bytes[8];
    drop_put_u32(bytes, 0x01020304);
    CHECK(memcmp(bytes, "\1\2\3\4", 4) == 0);
    CHECK_EQUAL(drop_get_u32(bytes), 0x01020304);
    drop_put_u64(bytes, 0x8102030405060708);
    CHECK(memcmp(bytes, "\x81\2\3\4\5\6\7\x8", 8) == 0);
    CHECK(drop_get_u64(bytes) == 0x8102030405060708);
}

static void test_header_round_trip(void)
{
    struct drop_frame frame;
    char header[DROP_FRAME_HEADER];
    drop_frame_put(header, DROP_SUBSCRIBE, DROP_FLAG_WAIT, 4, UINT64_MAX, 14);
    CHECK(drop_frame_header(header, &frame) == NULL);
    CHECK_EQUAL(frame.type, DROP_SUBSCRIBE);
    CHECK_EQUAL(frame.flags, DROP_FLAG_WAIT);
    CHECK_EQUAL(frame.code, 4);
    CHECK(frame.id == UINT64_MAX);
    CHECK_EQUAL(frame.body_length, 14);
}

static void test_length_limits(void)
{
    struct drop_frame frame;
    CHECK(fault_of(DROP_PING, 0, 0, 0, 0, &frame) != NULL);
    CHECK(fault_of(DROP_PING, 0, 0, 0, 11, &frame) != NULL);
    CHECK(fault_of(DROP_PING, 0, 0, 0, 12, &frame) == NULL);
    CHECK(fault_of(DROP_CALL, 0, 1, 0, 0x7fffffff, &frame) == NULL);
    CHECK_EQUAL(frame.body_length, 0x7fffffff - 12);
    CHECK(fault_of(DROP_CALL, 0, 1, 0, 0x80000000, &frame) != NULL);
    CHECK(fault_of(DROP_CALL, 0, 1, 0, 0xffffffff, &frame) != NULL);
}

static void test_every_type(void)
{
    for (unsigned type = 0; type < 256; type++) {
        bool known = type >= DROP_HELLO && type <= DROP_STATISTICS;
        bool fits = good((uint8_t)type, 0, 0, 8) || good((uint8_t)type, 0, 1, 8)
                    || good((uint8_t)type, 0, 0, 0);
        CHECK_EQUAL(fits, known);
    }
}

static void test_reserved_and_flags(void)
{
    struct drop_frame frame;
    for (unsigned bit = 0; bit < 8; bit++) {
        uint8_t value = (uint8_t)(1u << bit);
        CHECK(fault_of(DROP_CALL, 0, 1, value, 30, &frame) != NULL);
        CHECK_EQUAL(good(DROP_CALL, value, 1, 8), value == DROP_FLAG_PARTS);
        CHECK(!good(DROP_CAST, value, 1, 8));
        CHECK(!good(DROP_UNSUBSCRIBE, value, 0, 0));
        CHECK_EQUAL(good(DROP_SUBSCRIBE, value, 1, 8), value == DROP_FLAG_WAIT);
    }
}

static void test_body_limits(void)
{
    static const struct {
        uint8_t type, code;
        uint32_t least, most;
    } rows[] = {
        {DROP_HELLO, 0, 8, DROP_SMALL_BODY_MAX},     {DROP_SUBSCRIBE, 1, 1, DROP_SMALL_BODY_MAX},
        {DROP_UNSUBSCRIBE, 0, 0, 0},                 {DROP_CANCEL, 1, 1, DROP_NAME_MAX},
        {DROP_PING, 0, 0, DROP_PING_MAX},            {DROP_STATISTICS, 0, 0, DROP_NAME_MAX},
        {DROP_CALL, 1, 5, 0x7fffffff - 12},          {DROP_CAST, 1, 5, 0x7fffffff - 12},
        {DROP_PUBLISH, 1, 5, 0x7fffffff - 12},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK(good(rows[i].type, 0, rows[i].code, rows[i].least));
        CHECK(good(rows[i].type, 0, rows[i].code, rows[i].most));
        CHECK(rows[i].least == 0 || !good(rows[i].type, 0, rows[i].code, rows[i].least - 1));
        CHECK(!good(rows[i].type, 0, rows[i].code, rows[i].most + 1));
    }
}

static void test_name_lengths(void)
{
    CHECK(!good(DROP_CALL, 0, 0, 100) && good(DROP_CALL, 0, 128, 200));
    CHECK(!good(DROP_CALL, 0, 129, 200) && !good(DROP_STATISTICS, 0, 129, 128));
    CHECK(!good(DROP_HELLO, 0, 1, 8) && !good(DROP_PING, 0, 1, 1));
    CHECK(good(DROP_STATISTICS, 0, 0, 0) && good(DROP_STATISTICS, 0, 1, 1));
}

/* The body ends at the end of the page. */
static const char *split(uint8_t type, uint8_t code, const char *body, size_t length,
                         struct drop_request *request)
{
    struct edge edge = edge_open();
    struct drop_frame frame = {.type = type, .code = code, .body_length = (uint32_t)length};
    frame.body = edge_copy(&edge, body, length);
    const char *fault = drop_frame_has_payload(type) ? drop_frame_message(&frame, request)
                                                     : drop_frame_named(&frame, request);
    edge_close(&edge);
    return fault;
}

static void test_message(void)
{
    struct drop_request request;
    struct drop_frame frame = {
        .type = DROP_CALL, .code = 4, .body_length = 11, .body = "\0\0\3\350echoxyz"};
    CHECK(drop_frame_message(&frame, &request) == NULL);
    CHECK_EQUAL(request.timeout_ms, 1000);
    CHECK_BYTES(request.name, request.name_length, "echo");
    CHECK_BYTES(request.payload, request.payload_length, "xyz");
    CHECK(split(DROP_CALL, 4, "\0\0\0\0echo", 8, &request) == NULL);
    CHECK_EQUAL(request.payload_length, 0);
    CHECK(split(DROP_CALL, 5, "\0\0\0\0echo", 8, &request) != NULL);
    CHECK(split(DROP_CALL, 128, "\0\0\0\0e", 5, &request) != NULL);
}

static void test_named(void)
{
    struct drop_request request;
    CHECK(split(DROP_SUBSCRIBE, 4, "echotag:", 8, &request) == NULL);
    CHECK_EQUAL(request.payload_length, 4);
    CHECK(split(DROP_SUBSCRIBE, 4, "echo", 4, &request) == NULL);
    CHECK(split(DROP_SUBSCRIBE, 5, "echo", 4, &request) != NULL);
    CHECK(split(DROP_CANCEL, 4, "echo", 4, &request) == NULL);
    CHECK(split(DROP_CANCEL, 4, "echo!", 5, &request) != NULL);
    CHECK(split(DROP_STATISTICS, 0, "", 0, &request) == NULL);
    CHECK(split(DROP_STATISTICS, 0, "x", 1, &request) != NULL);
    CHECK(split(DROP_STATISTICS, 2, "e\0", 2, &request) != NULL);
}

static const char *hello_fault(const char *body, size_t length)
{
    struct edge edge = edge_open();
    struct drop_hello hello;
    struct drop_frame frame = {.type = DROP_HELLO, .body_length = (uint32_t)length};
    frame.body = edge_copy(&edge, body, length);
    const char *fault = drop_frame_hello(&frame, &hello);
    if (!fault)
        CHECK(hello.token_length == length - 8 && hello.version_min == 1);
    edge_close(&edge);
    return fault;
}

static void test_hello(void)
{
    CHECK(hello_fault("DROP\1\1\0\0", 8) == NULL);
    CHECK(hello_fault("DROP\1\3\0\6secret", 14) == NULL);
    CHECK(hello_fault("DROP\1\3\0\7secret", 14) != NULL);
    CHECK(hello_fault("DROP\1\3\0\5secret", 14) != NULL);
    CHECK(hello_fault("DROP\1\3\377\377secret", 14) != NULL);
    CHECK(hello_fault("HTTP\1\1\0\0", 8) != NULL);
}

static void test_names(void)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.:-/";
    char name[DROP_NAME_MAX + 1];
    for (unsigned byte = 0; byte < 256; byte++) {
        char one = (char)byte, two[2] = {'a', (char)byte};
        bool good_byte = byte && strchr(allowed, (int)byte);
        CHECK_EQUAL(drop_name_valid(&one, 1), good_byte || byte == '$');
        CHECK_EQUAL(drop_name_valid(two, 2), good_byte);
    }
    memset(name, 'n', sizeof name);
    CHECK(drop_name_valid(name, DROP_NAME_MAX));
    CHECK(!drop_name_valid(name, DROP_NAME_MAX + 1) && !drop_name_valid(name, 0));
}

int main(void)
{
    RUN(test_integers);
    RUN(test_header_round_trip);
    RUN(test_length_limits);
    RUN(test_every_type);
    RUN(test_reserved_and_flags);
    RUN(test_body_limits);
    RUN(test_name_lengths);
    RUN(test_message);
    RUN(test_named);
    RUN(test_hello);
    RUN(test_names);
    return check_summary();
}
