/* The end of a stderr: appended in every way, quoted in whole lines that fit. */
#include <stdlib.h>

#include "check.h"
#include "logtail.h"

#define MAX DROP_LOGSINK_TAIL_MAX

static struct drop_logtail tail;
static char out[MAX];

static size_t text_of(const char *bytes, size_t length, bool is_whole)
{
    memset(&tail, 0, sizeof tail);
    drop_logtail_append(&tail, bytes, length);
    tail.is_whole = is_whole;
    return drop_logtail_text(&tail, out);
}

static void test_whole_lines(void)
{
    CHECK_BYTES(out, text_of("one\ntwo\n", 8, false), "one\ntwo\n");
    CHECK_BYTES(out, text_of("\n\na\n\n", 5, false), "\n\na\n\n");
    CHECK_BYTES(out, text_of("one\nhalf", 8, false), "one\n");
    CHECK_BYTES(out, text_of("half", 4, false), "");
    CHECK_BYTES(out, text_of("", 0, true), "");
}

static void test_end_of_the_stream_ends_the_last_line(void)
{
    CHECK_BYTES(out, text_of("one\nhalf", 8, true), "one\nhalf\n");
    CHECK_BYTES(out, text_of("half", 4, true), "half\n");
    CHECK_BYTES(out, text_of("\n", 1, true), "\n");
}

static void test_control_characters(void)
{
    CHECK_BYTES(out, text_of("\x1b[1mno\r\n", 8, false), "\\x1b[1mno\\x0d\n");
}

static void test_only_the_last_lines_fit(void)
{
    char bytes[2 * MAX];
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 99; i < sizeof bytes; i += 100)
        bytes[i] = '\n';
    size_t whole = sizeof bytes - sizeof bytes % 100;
    CHECK_EQUAL(text_of(bytes, whole, false), MAX - MAX % 100);
    CHECK(memcmp(out, bytes, MAX - MAX % 100) == 0);
}

/* What becomes longer by escaping pushes out lines in front of it, and never itself. */
static void test_escaped_lines_take_their_room(void)
{
    char bytes[MAX] = {0};
    memcpy(bytes, "one\n", 4);
    bytes[400] = '\n';
    CHECK_EQUAL(text_of(bytes, 401, false), 4 + 4 * 396 + 1);
    bytes[600] = '\n';
    CHECK_EQUAL(text_of(bytes, 601, false), 4 * 199 + 1);
    bytes[400] = 0;
    size_t length = text_of(bytes, 601, false);
    CHECK_EQUAL(length, 4 * ((MAX - 1) / 4) + 1);
    CHECK(memcmp(out, "\\x00", 4) == 0);
}

static void test_end_of_a_line_that_is_too_long(void)
{
    char bytes[MAX + 100];
    memset(bytes, 'x', sizeof bytes);
    bytes[sizeof bytes - 1] = '\n';
    CHECK_EQUAL(text_of(bytes, sizeof bytes, false), MAX);
    CHECK(out[0] == 'x' && out[MAX - 1] == '\n');
    /* a character of three bytes that would be torn is left out */
    for (size_t i = 0; i + 3 < sizeof bytes; i += 3)
        memcpy(bytes + i, "\xe2\x82\xac", 3);
    size_t length = text_of(bytes, sizeof bytes, false);
    CHECK(length <= MAX && length > MAX - 3);
    CHECK(memcmp(out, "\xe2\x82\xac", 3) == 0);
}

/* A line whose start is gone is quoted only when there is nothing better. */
static void test_line_without_its_start(void)
{
    char bytes[MAX + 10];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes + sizeof bytes - 5, "\nend\n", 5);
    CHECK_BYTES(out, text_of(bytes, sizeof bytes, false), "end\n");
}

/* However the bytes come, the end is the same. */
static void test_every_size_of_the_parts(void)
{
    char bytes[5 * MAX / 2], expected[MAX];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = i % 37 == 36 ? '\n' : (char)('a' + i % 26);
    size_t expected_length = text_of(bytes, sizeof bytes, true);
    memcpy(expected, out, MAX);
    for (size_t step = 1; step < sizeof bytes; step += step < 50 ? 1 : 97) {
        memset(&tail, 0, sizeof tail);
        for (size_t at = 0; at < sizeof bytes; at += step) {
            size_t left = sizeof bytes - at;
            drop_logtail_append(&tail, bytes + at, left < step ? left : step);
        }
        tail.is_whole = true;
        CHECK_EQUAL(drop_logtail_text(&tail, out), expected_length);
        CHECK(memcmp(out, expected, expected_length) == 0);
    }
}

int main(void)
{
    RUN(test_whole_lines);
    RUN(test_end_of_the_stream_ends_the_last_line);
    RUN(test_control_characters);
    RUN(test_only_the_last_lines_fit);
    RUN(test_escaped_lines_take_their_room);
    RUN(test_end_of_a_line_that_is_too_long);
    RUN(test_line_without_its_start);
    RUN(test_every_size_of_the_parts);
    return check_summary();
}
