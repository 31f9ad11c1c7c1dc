#define _GNU_SOURCE
#include "logtail.h"

#include <string.h>

#include "logline.h"

void drop_logtail_append(struct drop_logtail *tail, const char *bytes, size_t length)
{
    if (length >= sizeof tail->bytes) {
        tail->is_cut |= tail->length > 0 || length > sizeof tail->bytes;
        memcpy(tail->bytes, bytes + length - sizeof tail->bytes, sizeof tail->bytes);
        tail->length = sizeof tail->bytes;
        return;
    }
    size_t room = sizeof tail->bytes - tail->length;
    if (length > room) {
        size_t over = length - room;
        tail->is_cut = true;
        tail->length -= over;
        memmove(tail->bytes, tail->bytes + over, tail->length);
    }
    memcpy(tail->bytes + tail->length, bytes, length);
    tail->length += length;
}

/* Finds the end of the last whole line, its newline not counted. */
static bool find_end(const struct drop_logtail *tail, size_t *end)
{
    const char *newline = memrchr(tail->bytes, '\n', tail->length);
    if (tail->is_whole && tail->length > 0)
        *end = tail->length - (tail->bytes[tail->length - 1] == '\n');
    else if (newline)
        *end = (size_t)(newline - tail->bytes);
    return newline || (tail->is_whole && tail->length > 0);
}

/* Whether a byte goes on with a character that another one begins. */
static bool is_inside(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Where to begin a line, so that what is left of it fits into the room, which it is taken from. A
 * line that does not begin where it should begins with a whole character. */
static size_t fit(const char *bytes, size_t start, size_t end, bool is_cut, size_t *room)
{
    size_t at = end;
    while (at > start && drop_logline_escaped(bytes[at - 1]) <= *room)
        *room -= drop_logline_escaped(bytes[--at]);
    for (; (is_cut || at > start) && at < end && is_inside(bytes[at]); at++)
        *room += drop_logline_escaped(bytes[at]);
    return at;
}

size_t drop_logtail_text(const struct drop_logtail *tail, char out[DROP_LOGSINK_TAIL_MAX])
{
    size_t end, room = DROP_LOGSINK_TAIL_MAX; /* filled from its end, as the lines are chosen */
    bool more = find_end(tail, &end);
    while (more && room > 0) {
        const char *newline = memrchr(tail->bytes, '\n', end);
        size_t start = newline ? (size_t)(newline + 1 - tail->bytes) : 0, left = room - 1;
        bool is_part = !newline && tail->is_cut;
        size_t from = fit(tail->bytes, start, end, is_part, &left);
        is_part |= from > start;
        if (is_part && room < DROP_LOGSINK_TAIL_MAX)
            break;
        *drop_logline_escape(out + left, tail->bytes + from, end - from) = '\n';
        room = left;
        more = newline && !is_part;
        end = start - 1;
    }
    memmove(out, out + room, DROP_LOGSINK_TAIL_MAX - room);
    return DROP_LOGSINK_TAIL_MAX - room;
}
