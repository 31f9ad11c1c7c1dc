#define _GNU_SOURCE
#include "logline.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Two decimal digits. */
static void put_two(char *out, int number)
{
    out[0] = (char)('0' + number / 10 % 10);
    out[1] = (char)('0' + number % 10);
}

static void stamp_second(struct drop_logline_stamp *stamp, int64_t second)
{
    time_t time = (time_t)second;
    struct tm utc = {0};
    gmtime_r(&time, &utc);
    stamp->second = second;
    memcpy(stamp->text, "0000-00-00T00:00:00.000000Z ", DROP_LOGLINE_STAMP_SIZE);
    put_two(stamp->text, (utc.tm_year + 1900) / 100);
    put_two(stamp->text + 2, utc.tm_year % 100);
    put_two(stamp->text + 5, utc.tm_mon + 1);
    put_two(stamp->text + 8, utc.tm_mday);
    put_two(stamp->text + 11, utc.tm_hour);
    put_two(stamp->text + 14, utc.tm_min);
    put_two(stamp->text + 17, utc.tm_sec);
}

void drop_logline_stamp_set(struct drop_logline_stamp *stamp, int64_t second, long nanosecond)
{
    if (stamp->second != second || stamp->text[0] == '\0')
        stamp_second(stamp, second);
    int microsecond = (int)(nanosecond / 1000);
    put_two(stamp->text + 20, microsecond / 10000);
    put_two(stamp->text + 22, microsecond / 100 % 100);
    put_two(stamp->text + 24, microsecond % 100);
}

void drop_logline_tag_set(struct drop_logline_tag *tag, const char *pool, uint64_t worker,
                          pid_t pid)
{
    int length =
        snprintf(tag->text, sizeof tag->text, "%s/%" PRIu64 "[%d] ", pool, worker, (int)pid);
    assert(length > 0 && (size_t)length < sizeof tag->text);
    tag->length = (size_t)length;
}

/* Where to cut a text that is too long: in front of the character that would be torn. Bytes that
 * are not UTF-8 have no character within three bytes and are cut at the limit. */
static size_t cut_between_characters(const char *bytes)
{
    for (size_t back = 0; back < 4; back++)
        if (((unsigned char)bytes[DROP_LOGLINE_TEXT_MAX - back] & 0xC0) != 0x80)
            return DROP_LOGLINE_TEXT_MAX - back;
    return DROP_LOGLINE_TEXT_MAX;
}

size_t drop_logline_cut(const char *bytes, size_t length, bool at_end,
                        struct drop_logline_piece *piece)
{
    if (length == 0)
        return 0;
    bool is_long = length > DROP_LOGLINE_TEXT_MAX;
    const char *newline = memchr(bytes, '\n', is_long ? DROP_LOGLINE_TEXT_MAX + 1 : length);
    if (!newline && !is_long && !at_end)
        return 0;
    bool is_cut = !newline && is_long;
    *piece = (struct drop_logline_piece){.text = bytes, .length = length, .continues = is_cut};
    if (newline)
        piece->length = (size_t)(newline - bytes);
    else if (is_cut)
        piece->length = cut_between_characters(bytes);
    return piece->length + (newline != NULL);
}

/* Copies text, control characters as \xNN. */
static char *escape(char *out, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (const char *end = text + length; text < end; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte >= 0x20 && byte != 0x7f) || byte == '\t') {
            *out++ = (char)byte;
            continue;
        }
        *out++ = '\\';
        *out++ = 'x';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    return out;
}

size_t drop_logline_format(char *out, const struct drop_logline_stamp *stamp,
                           const struct drop_logline_tag *tag,
                           const struct drop_logline_piece *piece)
{
    assert(piece->length <= DROP_LOGLINE_TEXT_MAX);
    char *start = out;
    memcpy(out, stamp->text, DROP_LOGLINE_STAMP_SIZE);
    out += DROP_LOGLINE_STAMP_SIZE;
    memcpy(out, tag->text, tag->length);
    out = escape(out + tag->length, piece->text, piece->length);
    if (piece->continues) {
        memcpy(out, DROP_LOGLINE_MARK, sizeof DROP_LOGLINE_MARK - 1);
        out += sizeof DROP_LOGLINE_MARK - 1;
    }
    *out++ = '\n';
    return (size_t)(out - start);
}

uint64_t drop_logline_count(const char *bytes, size_t length)
{
    uint64_t lines = 0;
    for (const char *end = bytes + length; bytes < end; lines++) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        if (!newline)
            break;
        bytes = newline + 1;
    }
    return lines;
}
