#define _GNU_SOURCE
#include "logline.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEXADECIMAL "0123456789abcdef"
/* Bytes that are looked at in one step; a compiler has instructions for it, or makes some. */
typedef unsigned char block __attribute__((vector_size(16)));

/* bytes counted in one round of the loop, and rounds before the bytes of a count are full */
#define STEP (4 * sizeof(block))
#define STEPS_MAX 127

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

int64_t drop_logline_stamp_second(const char *line)
{
    struct tm utc = {0};
    char text[DROP_LOGLINE_STAMP_SIZE];
    memcpy(text, line, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    int fields = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
                        &utc.tm_hour, &utc.tm_min, &utc.tm_sec);
    utc.tm_year -= 1900;
    utc.tm_mon--;
    return fields == 6 ? timegm(&utc) : 0;
}

static char *put_number(char *out, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *out++ = digits[--count];
    return out;
}

/* Not with snprintf: a tag is made for every process, a line only for those that say something. */
void drop_logline_tag_set(struct drop_logline_tag *tag, const char *pool, size_t pool_length,
                          uint64_t worker, pid_t pid)
{
    assert(pool_length <= DROP_NAME_MAX);
    char *at = tag->text;
    memcpy(at, pool, pool_length);
    at += pool_length;
    *at++ = '/';
    at = put_number(at, worker);
    *at++ = '[';
    if (pid < 0)
        *at++ = '-';
    at = put_number(at, pid < 0 ? (uint64_t)(-(int64_t)pid) : (uint64_t)pid);
    memcpy(at, "] - ", 4);
    tag->call = 0;
    tag->call_at = (uint32_t)(at + 2 - tag->text);
    tag->length = tag->call_at + 2;
}

void drop_logline_tag_call(struct drop_logline_tag *tag, uint64_t call)
{
    if (tag->call == call)
        return;
    char *at = tag->text + tag->call_at;
    if (call == 0)
        *at++ = '-';
    else
        for (int shift = 60; shift >= 0; shift -= 4)
            *at++ = HEXADECIMAL[call >> shift & 15];
    *at++ = ' ';
    tag->call = call;
    tag->length = (uint32_t)(at - tag->text);
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

size_t drop_logline_skip(const char *bytes, size_t length, bool at_end, uint64_t *lines)
{
    const char *newline = memrchr(bytes, '\n', length);
    size_t skipped = newline ? (size_t)(newline + 1 - bytes) : 0;
    size_t pieces = (length - skipped) / (DROP_LOGLINE_TEXT_MAX + 1);
    *lines = drop_logline_count(bytes, skipped) + pieces;
    skipped += pieces * (DROP_LOGLINE_TEXT_MAX + 1);
    if (!at_end || skipped == length)
        return skipped;
    ++*lines;
    return length;
}

/* Whether one of the bytes is a control character (TAB among them) or DEL; those are looked at one
 * by one. */
static bool has_control(block bytes)
{
    uint64_t halves[2];
    block found = (block)(bytes < 0x20) | (block)(bytes == 0x7f);
    memcpy(halves, &found, sizeof halves);
    return halves[0] | halves[1];
}

static char *escape_bytes(char *out, const char *text, const char *end)
{
    for (; text < end; text++) {
        unsigned char byte = (unsigned char)*text;
        if (drop_logline_escaped(*text) == 1) {
            *out++ = *text;
            continue;
        }
        *out++ = '\\';
        *out++ = 'x';
        *out++ = HEXADECIMAL[byte >> 4];
        *out++ = HEXADECIMAL[byte & 15];
    }
    return out;
}

char *drop_logline_escape(char *out, const char *text, size_t length)
{
    const char *end = text + length;
    block bytes;
    for (; (size_t)(end - text) >= sizeof bytes; text += sizeof bytes) {
        memcpy(&bytes, text, sizeof bytes);
        if (has_control(bytes)) {
            out = escape_bytes(out, text, text + sizeof bytes);
            continue;
        }
        memcpy(out, &bytes, sizeof bytes);
        out += sizeof bytes;
    }
    return escape_bytes(out, text, end);
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
    out = drop_logline_escape(out + tag->length, piece->text, piece->length);
    if (piece->continues) {
        memcpy(out, DROP_LOGLINE_MARK, sizeof DROP_LOGLINE_MARK - 1);
        out += sizeof DROP_LOGLINE_MARK - 1;
    }
    *out++ = '\n';
    return (size_t)(out - start);
}

/* Bytes of a block that are newlines: -1 each. */
static block newlines(const char *bytes)
{
    block part;
    memcpy(&part, bytes, sizeof part);
    return (block)(part == '\n');
}

/* The newlines of `steps` times four blocks. What a flood costs is mostly this. */
static uint64_t count_blocks(const char *bytes, size_t steps)
{
    block one = {0}, two = {0};
    uint64_t lines = 0;
    for (const char *end = bytes + steps * STEP; bytes < end; bytes += STEP) {
        one -= newlines(bytes) + newlines(bytes + sizeof(block));
        two -= newlines(bytes + 2 * sizeof(block)) + newlines(bytes + 3 * sizeof(block));
    }
    for (size_t i = 0; i < sizeof(block); i++)
        lines += (uint64_t)one[i] + two[i];
    return lines;
}

uint64_t drop_logline_count(const char *bytes, size_t length)
{
    const char *end = bytes + length;
    uint64_t lines = 0;
    for (size_t steps; (steps = (size_t)(end - bytes) / STEP) > 0; bytes += steps * STEP) {
        steps = steps < STEPS_MAX ? steps : STEPS_MAX;
        lines += count_blocks(bytes, steps);
    }
    for (; bytes < end; bytes++)
        lines += *bytes == '\n';
    return lines;
}
