/* Bytes of a worker's stderr to lines of a log: cutting and formatting. Pure: no file, no clock, no
 * allocation.
 *
 *     2026-11-24T03:40:01.123456Z POOL/WORKER[PID] CALL text\n
 *
 * CALL is the id of the call that the line belongs to, 16 hexadecimal digits, or `-` where that is
 * not certain (logcall.h). The text is what stands behind the third space, however it begins.
 *
 * Text stays as the worker wrote it, except that control characters other than TAB become \xNN, so
 * that a log is safe to print on a terminal and one line of it is always one line. A text longer
 * than DROP_LOGLINE_TEXT_MAX becomes several lines; each but the last ends in DROP_LOGLINE_MARK. */
#ifndef DROP_LOGLINE_H
#define DROP_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "limits.h"

/* bytes of text in one line of a log: room for a stack trace on one line; bounds the memory of a
 * source */
#define DROP_LOGLINE_TEXT_MAX 16384u
#define DROP_LOGLINE_MARK " [continues]"
#define DROP_LOGLINE_STAMP_SIZE 28u /* with the space behind it */
/* "POOL/20 digits[11 digits] 16 digits " */
#define DROP_LOGLINE_TAG_MAX (DROP_NAME_MAX + 52u)
#define DROP_LOGLINE_SIZE_MAX                                                                      \
    (DROP_LOGLINE_STAMP_SIZE + DROP_LOGLINE_TAG_MAX + 4 * DROP_LOGLINE_TEXT_MAX +                  \
     sizeof DROP_LOGLINE_MARK)

/* A time as text. Zeroed is valid to set; most calls of set fall into the same second and change
 * six digits. */
struct drop_logline_stamp {
    int64_t second; /* since 1970 */
    char text[DROP_LOGLINE_STAMP_SIZE];
};

/* Who wrote it, and for whom: "POOL/WORKER[PID] CALL ". */
struct drop_logline_tag {
    uint64_t call;
    uint32_t call_at;
    uint32_t length;
    char text[DROP_LOGLINE_TAG_MAX];
};

/* One line's text, borrowed from the bytes it was cut from. */
struct drop_logline_piece {
    const char *text;
    size_t length;
    bool continues; /* the worker's line goes on in the next piece */
};

void drop_logline_stamp_set(struct drop_logline_stamp *stamp, int64_t second, long nanosecond);

/* The time at the start of a line, in seconds since 1970; 0 when there is none. Needs
 * DROP_LOGLINE_STAMP_SIZE bytes. */
int64_t drop_logline_stamp_second(const char *line);

/* `pool` is at most DROP_NAME_MAX bytes. The line belongs to no call. */
void drop_logline_tag_set(struct drop_logline_tag *tag, const char *pool, size_t pool_length,
                          uint64_t worker, pid_t pid);

/* The next lines belong to this call; 0: to none. */
void drop_logline_tag_call(struct drop_logline_tag *tag, uint64_t call);

/* Cuts the first piece off `bytes` and returns how many bytes that takes, the newline included; 0:
 * there is none yet, and then length is at most DROP_LOGLINE_TEXT_MAX. With at_end the rest without
 * a newline is a line, too. A long line is cut between characters where it is UTF-8. */
size_t drop_logline_cut(const char *bytes, size_t length, bool at_end,
                        struct drop_logline_piece *piece);

/* Writes the line of a piece, at most DROP_LOGLINE_SIZE_MAX bytes; returns how many. */
size_t drop_logline_format(char *out, const struct drop_logline_stamp *stamp,
                           const struct drop_logline_tag *tag,
                           const struct drop_logline_piece *piece);

/* Passes over all lines without looking at each: returns the bytes that takes and how many lines it
 * was. What is left is no longer than what drop_logline_cut leaves. */
size_t drop_logline_skip(const char *bytes, size_t length, bool at_end, uint64_t *lines);

/* The newlines in `bytes`. */
uint64_t drop_logline_count(const char *bytes, size_t length);

/* Copies text, control characters as \xNN; returns the end of it. It takes at most 4 * length. */
char *drop_logline_escape(char *out, const char *text, size_t length);

/* How many bytes one becomes by that. */
static inline size_t drop_logline_escaped(char character)
{
    unsigned char byte = (unsigned char)character;
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t' ? 1 : 4;
}

#endif
