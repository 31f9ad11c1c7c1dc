/* Cutting and formatting of log lines: whole, byte by byte, at the limit, and what is escaped. */
#include <stdlib.h>

#include "check.h"
#include "logline.h"

static char long_text[3 * DROP_LOGLINE_TEXT_MAX];

static struct drop_logline_piece cut(const char *bytes, size_t length, bool at_end, size_t *used)
{
    struct drop_logline_piece piece = {0};
    *used = drop_logline_cut(bytes, length, at_end, &piece);
    return piece;
}

static void test_whole_lines(void)
{
    size_t used;
    struct drop_logline_piece piece = cut("one\ntwo", 7, false, &used);
    CHECK_EQUAL(used, 4);
    CHECK_BYTES(piece.text, piece.length, "one");
    CHECK(!piece.continues);
    piece = cut("\nrest", 5, false, &used);
    CHECK_EQUAL(used, 1);
    CHECK_EQUAL(piece.length, 0);
}

static void test_half_a_line_waits_for_its_end(void)
{
    size_t used;
    cut("half", 4, false, &used);
    CHECK_EQUAL(used, 0);
    struct drop_logline_piece piece = cut("half", 4, true, &used);
    CHECK_EQUAL(used, 4);
    CHECK_BYTES(piece.text, piece.length, "half");
    cut("", 0, true, &used);
    CHECK_EQUAL(used, 0);
}

/* Every prefix of a stream gives the same lines as the stream as a whole. */
static void test_byte_by_byte(void)
{
    static const char stream[] = "a\n\nlonger line\n\0x\n";
    static const size_t expected[] = {1, 0, 11, 2};
    size_t start = 0, lines = 0, used;
    for (size_t end = 1; end <= sizeof stream - 1; end++) {
        struct drop_logline_piece piece = cut(stream + start, end - start, false, &used);
        if (used == 0)
            continue;
        REQUIRE(lines < 4);
        CHECK_EQUAL(piece.length, expected[lines]);
        lines++;
        start += used;
    }
    CHECK_EQUAL(lines, 4);
    CHECK_EQUAL(start, sizeof stream - 1);
}

static void test_line_of_the_limit_is_whole(void)
{
    size_t used;
    memset(long_text, 'x', sizeof long_text);
    cut(long_text, DROP_LOGLINE_TEXT_MAX, false, &used);
    CHECK_EQUAL(used, 0);
    long_text[DROP_LOGLINE_TEXT_MAX] = '\n';
    struct drop_logline_piece piece = cut(long_text, sizeof long_text, false, &used);
    CHECK_EQUAL(used, DROP_LOGLINE_TEXT_MAX + 1);
    CHECK_EQUAL(piece.length, DROP_LOGLINE_TEXT_MAX);
    CHECK(!piece.continues);
}

static void test_longer_line_is_split(void)
{
    size_t used, total = 0, pieces = 0;
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\n';
    struct drop_logline_piece piece;
    do {
        piece = cut(long_text + total, sizeof long_text - total, false, &used);
        REQUIRE(used > 0);
        total += used;
        pieces++;
    } while (piece.continues);
    CHECK_EQUAL(total, sizeof long_text);
    CHECK_EQUAL(pieces, 3);
}

/* "\xe2\x82\xac" (three bytes) is laid across the limit at each of its offsets. */
static void test_split_keeps_characters_whole(void)
{
    for (size_t before = 0; before <= 3; before++) {
        size_t used;
        memset(long_text, 'x', sizeof long_text);
        memcpy(long_text + DROP_LOGLINE_TEXT_MAX - before, "\xe2\x82\xac", 3);
        struct drop_logline_piece piece = cut(long_text, sizeof long_text, false, &used);
        size_t expected = DROP_LOGLINE_TEXT_MAX - (before == 3 ? 0 : before);
        CHECK_EQUAL(piece.length, expected);
        CHECK(piece.continues);
    }
    size_t used;
    memset(long_text, 0x80, sizeof long_text); /* no UTF-8 at all */
    CHECK_EQUAL(cut(long_text, sizeof long_text, false, &used).length, DROP_LOGLINE_TEXT_MAX);
}

static size_t format(char *out, const char *text, size_t length, bool continues)
{
    struct drop_logline_stamp stamp = {0};
    struct drop_logline_tag tag;
    struct drop_logline_piece piece = {.text = text, .length = length, .continues = continues};
    drop_logline_stamp_set(&stamp, 1795491601, 123456789);
    drop_logline_tag_set(&tag, "news/words:2", 12, 17, 4711);
    return drop_logline_format(out, &stamp, &tag, &piece);
}

static void test_format(void)
{
    char out[256];
    size_t length = format(out, "to be", 5, false);
    CHECK_BYTES(out, length, "2026-11-24T03:40:01.123456Z news/words:2/17[4711] - to be\n");
    length = format(out, "to be", 5, true);
    CHECK_BYTES(out, length,
                "2026-11-24T03:40:01.123456Z news/words:2/17[4711] - to be [continues]\n");
}

static void test_calls(void)
{
    struct drop_logline_tag tag;
    drop_logline_tag_set(&tag, "p", 1, 1, 2);
    CHECK_BYTES(tag.text, tag.length, "p/1[2] - ");
    drop_logline_tag_call(&tag, 0x123456789abcdef0);
    CHECK_BYTES(tag.text, tag.length, "p/1[2] 123456789abcdef0 ");
    drop_logline_tag_call(&tag, 0xf);
    CHECK_BYTES(tag.text, tag.length, "p/1[2] 000000000000000f ");
    drop_logline_tag_call(&tag, 0);
    CHECK_BYTES(tag.text, tag.length, "p/1[2] - ");
}

static void test_numbers_of_a_tag(void)
{
    struct drop_logline_tag tag;
    drop_logline_tag_set(&tag, "p", 1, UINT64_MAX, INT32_MIN);
    CHECK_BYTES(tag.text, tag.length, "p/18446744073709551615[-2147483648] - ");
    drop_logline_tag_set(&tag, "p", 1, 0, 10);
    CHECK_BYTES(tag.text, tag.length, "p/0[10] - ");
}

/* Every byte at every place of a text that is looked at in blocks, against the rule itself. */
static void test_every_byte_is_escaped_everywhere(void)
{
    char text[40], out[160], expected[160];
    for (int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 'x', sizeof text);
            text[at] = (char)byte;
            memset(expected, 'x', sizeof expected);
            bool is_plain = (byte >= 0x20 && byte != 0x7f) || byte == '\t';
            if (is_plain)
                expected[at] = (char)byte;
            else
                expected[at + (size_t)sprintf(expected + at, "\\x%02x", (unsigned)byte)] = 'x';
            size_t length = (size_t)(drop_logline_escape(out, text, sizeof text) - out);
            CHECK_EQUAL(length, sizeof text + (is_plain ? 0 : 3));
            CHECK(memcmp(out, expected, length) == 0);
        }
}

static void test_control_characters_are_escaped(void)
{
    char out[256];
    size_t length = format(out, "\0\t\r\x1b[0m\x7f\xc3\xa9\\", 11, false);
    CHECK_BYTES(out, length,
                "2026-11-24T03:40:01.123456Z news/words:2/17[4711] - "
                "\\x00\t\\x0d\\x1b[0m\\x7f\xc3\xa9\\\n");
}

/* The worst line there can be fits exactly where the header says. */
static void test_largest_line(void)
{
    char *out = malloc(DROP_LOGLINE_SIZE_MAX), *text = calloc(1, DROP_LOGLINE_TEXT_MAX);
    char pool[DROP_NAME_MAX];
    struct drop_logline_stamp stamp = {0};
    struct drop_logline_tag tag;
    REQUIRE(out && text);
    memset(pool, 'p', DROP_NAME_MAX);
    drop_logline_stamp_set(&stamp, 0, 0);
    drop_logline_tag_set(&tag, pool, DROP_NAME_MAX, UINT64_MAX, INT32_MIN);
    drop_logline_tag_call(&tag, UINT64_MAX);
    CHECK(tag.length <= sizeof tag.text);
    struct drop_logline_piece piece = {text, DROP_LOGLINE_TEXT_MAX, true};
    CHECK(drop_logline_format(out, &stamp, &tag, &piece) <= DROP_LOGLINE_SIZE_MAX);
    free(out);
    free(text);
}

static void test_stamp_follows_the_clock(void)
{
    struct drop_logline_stamp stamp = {0};
    drop_logline_stamp_set(&stamp, 0, 0);
    CHECK_BYTES(stamp.text, sizeof stamp.text, "1970-01-01T00:00:00.000000Z ");
    drop_logline_stamp_set(&stamp, 0, 999999999);
    CHECK_BYTES(stamp.text, sizeof stamp.text, "1970-01-01T00:00:00.999999Z ");
    drop_logline_stamp_set(&stamp, 951782400, 1000);
    CHECK_BYTES(stamp.text, sizeof stamp.text, "2000-02-29T00:00:00.000001Z ");
}

static void test_second_of_a_line(void)
{
    char line[DROP_LOGLINE_STAMP_SIZE + 1] = "2026-11-24T03:40:01.123456Z ";
    CHECK_EQUAL(drop_logline_stamp_second(line), 1795491601);
    memset(line, 'x', DROP_LOGLINE_STAMP_SIZE);
    CHECK_EQUAL(drop_logline_stamp_second(line), 0);
    memset(line, 0, DROP_LOGLINE_STAMP_SIZE);
    CHECK_EQUAL(drop_logline_stamp_second(line), 0);
}

static size_t skip(const char *bytes, size_t length, bool at_end, size_t *lines)
{
    uint64_t counted;
    size_t skipped = drop_logline_skip(bytes, length, at_end, &counted);
    *lines = (size_t)counted;
    return skipped;
}

static void test_skip(void)
{
    size_t lines;
    CHECK_EQUAL(skip("a\n\nhalf", 7, false, &lines), 3);
    CHECK_EQUAL(lines, 2);
    CHECK_EQUAL(skip("a\n\nhalf", 7, true, &lines), 7);
    CHECK_EQUAL(lines, 3);
    CHECK_EQUAL(skip("half", 4, false, &lines), 0);
    CHECK_EQUAL(lines, 0);
    memset(long_text, 'x', sizeof long_text);
    size_t skipped = skip(long_text, sizeof long_text, false, &lines);
    CHECK(skipped > 0 && sizeof long_text - skipped <= DROP_LOGLINE_TEXT_MAX);
    CHECK_EQUAL(lines, 2);
}

static void test_count(void)
{
    memset(long_text, '\n', sizeof long_text);
    CHECK_EQUAL(drop_logline_count(long_text, sizeof long_text), sizeof long_text);
    CHECK_EQUAL(drop_logline_count(long_text + 1, 4097), 4097);
    CHECK_EQUAL(drop_logline_count("", 0), 0);
    CHECK_EQUAL(drop_logline_count("a\n\nb", 4), 2);
    CHECK_EQUAL(drop_logline_count("a\n", 2), 1);
}

int main(void)
{
    RUN(test_whole_lines);
    RUN(test_half_a_line_waits_for_its_end);
    RUN(test_byte_by_byte);
    RUN(test_line_of_the_limit_is_whole);
    RUN(test_longer_line_is_split);
    RUN(test_split_keeps_characters_whole);
    RUN(test_format);
    RUN(test_calls);
    RUN(test_numbers_of_a_tag);
    RUN(test_every_byte_is_escaped_everywhere);
    RUN(test_control_characters_are_escaped);
    RUN(test_largest_line);
    RUN(test_stamp_follows_the_clock);
    RUN(test_second_of_a_line);
    RUN(test_skip);
    RUN(test_count);
    return check_summary();
}
