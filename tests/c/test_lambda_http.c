/* Heads and chunked bodies: whole, byte by byte, at the edge of a page, and what is refused. */
#include <stdlib.h>

#include "check.h"
#include "edge.h"
#include "lambda_http.h"

static int parse(const struct edge *edge, const char *text, struct drop_lambda_head *head)
{
    size_t length = strlen(text), scanned = 0;
    const char *place = edge_copy(edge, text, length);
    CHECK_EQUAL(drop_lambda_head_end(place, length, &scanned), length);
    return drop_lambda_head_parse(place, length, head);
}

static void test_plain_head(void)
{
    struct edge edge = edge_open();
    struct drop_lambda_head head;
    CHECK_EQUAL(parse(&edge, "GET /a/b?c=d HTTP/1.1\r\nHost: x\r\n\r\n", &head), 0);
    CHECK_EQUAL(head.method, DROP_LAMBDA_GET);
    CHECK_BYTES(head.path.at, head.path.length, "/a/b");
    CHECK(head.keep_alive && !head.chunked && !head.expects_continue);
    CHECK_EQUAL(head.content_length, 0);
    edge_close(&edge);
}

static void test_fields(void)
{
    struct edge edge = edge_open();
    struct drop_lambda_head head;
    CHECK_EQUAL(parse(&edge,
                      "POST / HTTP/1.1\ncontent-LENGTH:  12 \t\nConnection: te, Close\n"
                      "Expect: 100-Continue\nLambda-Runtime-Function-Error-Type: E\n"
                      "Lambda-Runtime-Function-Response-Mode: streaming\n\n",
                      &head),
                0);
    CHECK_EQUAL(head.method, DROP_LAMBDA_POST);
    CHECK_EQUAL(head.content_length, 12);
    CHECK(!head.keep_alive && head.expects_continue);
    CHECK_BYTES(head.error_type.at, head.error_type.length, "E");
    CHECK_BYTES(head.response_mode.at, head.response_mode.length, "streaming");
    CHECK_EQUAL(parse(&edge, "PUT / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &head), 0);
    CHECK_EQUAL(head.method, DROP_LAMBDA_OTHER);
    CHECK(head.keep_alive);
    CHECK_EQUAL(parse(&edge, "GET / HTTP/1.0\r\n\r\n", &head), 0);
    CHECK(!head.keep_alive);
    edge_close(&edge);
}

static void test_refused_heads(void)
{
    static const struct {
        int status;
        const char *text;
    } heads[] = {
        {400, "GET\r\n\r\n"},
        {400, "GET / \r\n\r\n"},
        {400, "GET x HTTP/1.1\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\n\r\n"},
        {400, "G(T / HTTP/1.1\r\n\r\n"},
        {400, "GET /\x01 HTTP/1.1\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\n\r\n"},
        {400, "GET / http\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nno colon\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nspace : x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\na: b\r\n folded: c\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\na: b\rc\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
              "Transfer-Encoding: chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\nExpect: tea\r\n\r\n"},
    };
    struct edge edge = edge_open();
    struct drop_lambda_head head;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (parse(&edge, heads[i].text, &head) != heads[i].status)
            check_fail(__FILE__, __LINE__, heads[i].text);
    edge_close(&edge);
}

static void test_too_many_fields(void)
{
    char text[4096] = "GET / HTTP/1.1\r\n";
    struct drop_lambda_head head;
    for (unsigned count = 0; count <= DROP_LAMBDA_FIELDS_MAX; count++)
        strcat(text, "a: b\r\n");
    strcat(text, "\r\n");
    CHECK_EQUAL(drop_lambda_head_parse(text, strlen(text), &head), 431);
}

/* The end is found at the same place however the bytes come. */
static void test_end_byte_by_byte(void)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\na: b\r\n\r\n",
        "GET / HTTP/1.1\na: b\n\n",
        "GET / HTTP/1.1\r\n\n",
        "a\n\r\n",
    };
    struct edge edge = edge_open();
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        size_t length = strlen(heads[i]), scanned = 0;
        for (size_t there = 0; there < length; there++)
            CHECK_EQUAL(
                drop_lambda_head_end(edge_copy(&edge, heads[i], there), there, &scanned), 0);
        CHECK_EQUAL(drop_lambda_head_end(edge_copy(&edge, heads[i], length), length, &scanned),
                    length);
    }
    CHECK_EQUAL(drop_lambda_head_skip("\r\n\nGET", 6), 3);
    edge_close(&edge);
}

/* What a body holds, fed in pieces of `step` bytes; the kind that it ended with. */
static enum drop_lambda_piece decode(const char *text, size_t step, char *body, char *trailer,
                                     size_t *consumed)
{
    struct edge edge = edge_open();
    struct drop_lambda_chunks chunks = {0};
    enum drop_lambda_piece kind = DROP_LAMBDA_MORE;
    body[0] = trailer[0] = '\0';
    *consumed = 0;
    for (size_t at = 0; at < strlen(text) && kind == DROP_LAMBDA_MORE; at += step) {
        size_t length = strlen(text) - at < step ? strlen(text) - at : step;
        struct drop_lambda_slice rest = {edge_copy(&edge, text + at, length), length}, piece;
        do {
            kind = drop_lambda_chunks_next(&chunks, &rest, &piece);
            if (kind == DROP_LAMBDA_DATA)
                strncat(body, piece.at, piece.length);
            else if (kind == DROP_LAMBDA_TRAILER)
                strncat(trailer, piece.at, piece.length);
        } while (kind == DROP_LAMBDA_DATA || kind == DROP_LAMBDA_TRAILER);
        *consumed = at + length - rest.length;
    }
    edge_close(&edge);
    return kind;
}

static void test_chunks(void)
{
    static const char text[] =
        "3\r\nabc\r\n00A ; x=\"y\"\r\n0123456789\r\n1\nz\n0\r\nT: u\r\nV: w\r\n\r\nGET";
    char body[64], trailer[64];
    for (size_t step = 1; step <= sizeof text; step++) {
        size_t consumed;
        CHECK_EQUAL(decode(text, step, body, trailer, &consumed), DROP_LAMBDA_END);
        CHECK_BYTES(body, strlen(body), "abc0123456789z");
        CHECK_BYTES(trailer, strlen(trailer), "T: u\r\nV: w\r\n\r\n");
        CHECK_EQUAL(consumed, sizeof text - 4);
    }
}

static void test_bad_chunks(void)
{
    static const char *const texts[] = {"\r\n", "g\r\n",      "-1\r\n", "1\r\nab\r\n", "1\r\na\rb",
                                        ";\n",  "1x\r\na\r\n", "10000000000000000\r\n"};
    char body[64], trailer[64];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t step = 1; step < 4; step++) {
            size_t consumed;
            if (decode(texts[i], step, body, trailer, &consumed) != DROP_LAMBDA_BAD)
                check_fail(__FILE__, __LINE__, texts[i]);
        }
}

static void test_endless_extension(void)
{
    struct drop_lambda_chunks chunks = {0};
    char text[DROP_LAMBDA_CHUNK_LINE_MAX + 8];
    memset(text, 'x', sizeof text);
    text[0] = '1';
    text[1] = ';';
    struct drop_lambda_slice rest = {text, sizeof text}, piece;
    CHECK_EQUAL(drop_lambda_chunks_next(&chunks, &rest, &piece), DROP_LAMBDA_BAD);
}

static void test_trailers(void)
{
    static const char text[] = "Lambda-Runtime-Function-Error-Type: T\r\nother: x\r\n"
                               "lambda-runtime-function-error-body: eyJ9\r\n\r\n";
    struct drop_lambda_trailers trailers;
    CHECK_EQUAL(drop_lambda_trailers_parse(text, sizeof text - 1, &trailers), 0);
    CHECK_BYTES(trailers.error_type.at, trailers.error_type.length, "T");
    CHECK_BYTES(trailers.error_body.at, trailers.error_body.length, "eyJ9");
    CHECK_EQUAL(drop_lambda_trailers_parse("x\r\n\r\n", 5, &trailers), 400);
    CHECK_EQUAL(drop_lambda_trailers_parse("\r\n", 2, &trailers), 0);
}

static void check_base64(const char *text, const char *expected)
{
    struct drop_lambda_bytes bytes = {0};
    struct drop_lambda_slice slice = {text, strlen(text)};
    bool decoded = drop_lambda_bytes_decode(&bytes, slice);
    CHECK_EQUAL(decoded, expected != NULL);
    if (decoded && expected)
        CHECK(bytes.length == strlen(expected) && memcmp(bytes.at, expected, bytes.length) == 0);
    else
        CHECK_EQUAL(bytes.length, 0);
    drop_lambda_bytes_close(&bytes);
}

static void test_base64(void)
{
    check_base64("", "");
    check_base64("Zg==", "f");
    check_base64("Zm8=", "fo");
    check_base64("Zm9v", "foo");
    check_base64("Zm9vYg", "foob");
    check_base64("Z", NULL);
    check_base64("Zm 9v", NULL);
    check_base64("Zg=a", NULL);
    check_base64("====", NULL);
}

static void test_escape(void)
{
    struct drop_lambda_bytes bytes = {0};
    CHECK(drop_lambda_bytes_escape(&bytes, (struct drop_lambda_slice){"a\"\\\n\0\xc3\xa4", 7}));
    CHECK_BYTES(bytes.at, bytes.length, "a\\\"\\\\\\u000a\\u0000\xc3\xa4");
    drop_lambda_bytes_close(&bytes);
}

int main(void)
{
    RUN(test_plain_head);
    RUN(test_fields);
    RUN(test_refused_heads);
    RUN(test_too_many_fields);
    RUN(test_end_byte_by_byte);
    RUN(test_chunks);
    RUN(test_bad_chunks);
    RUN(test_endless_extension);
    RUN(test_trailers);
    RUN(test_base64);
    RUN(test_escape);
    return check_summary();
}
