/* Cuts any bytes into lines, fed in two parts: every byte comes out once, within the limits, and a
 * formatted line has one newline, at its end, and no control character. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logline.h"

static void check_line(const struct drop_logline_piece *piece)
{
    static char out[DROP_LOGLINE_SIZE_MAX];
    static const struct drop_logline_stamp stamp = {.text = "2026-11-24T03:40:01.123456Z"};
    struct drop_logline_tag tag;
    drop_logline_tag_set(&tag, "pool", 4, 1, 2);
    size_t length = drop_logline_format(out, &stamp, &tag, piece);
    for (size_t i = DROP_LOGLINE_STAMP_SIZE; i + 1 < length; i++)
        if (((unsigned char)out[i] < 0x20 && out[i] != '\t') || out[i] == 0x7f)
            abort();
    if (out[length - 1] != '\n')
        abort();
}

static size_t cut_all(const char *bytes, size_t length, bool at_end)
{
    size_t total = 0, used;
    struct drop_logline_piece piece;
    while ((used = drop_logline_cut(bytes + total, length - total, at_end, &piece)) > 0) {
        if (piece.length > DROP_LOGLINE_TEXT_MAX || piece.text != bytes + total ||
            memchr(piece.text, '\n', piece.length))
            abort();
        check_line(&piece);
        total += used;
    }
    return total;
}

/* Passing over lines leaves no more than cutting them does, and is over when they end. */
static void check_skip(const char *bytes, size_t length)
{
    uint64_t lines;
    size_t skipped = drop_logline_skip(bytes, length, false, &lines);
    if (skipped > length || length - skipped > DROP_LOGLINE_TEXT_MAX ||
        memchr(bytes + skipped, '\n', length - skipped) ||
        lines < drop_logline_count(bytes, skipped))
        abort();
    if (drop_logline_skip(bytes, length, true, &lines) != length)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    /* Inputs are short and the limit is not: the input is said several times over. */
    size_t times = 1 + data[1] % 32, length = times * size;
    char *bytes = malloc(length); /* of exactly this size, so that reading past it is found */
    if (!bytes)
        return 0;
    for (size_t i = 0; i < times; i++)
        memcpy(bytes + i * size, data, size);
    size_t first = data[0] * length / 256;
    check_skip(bytes, length);
    size_t total = cut_all(bytes, first, false);
    if (first - total > DROP_LOGLINE_TEXT_MAX)
        abort();
    total += cut_all(bytes + total, length - total, true);
    if (total != length)
        abort();
    free(bytes);
    return 0;
}
