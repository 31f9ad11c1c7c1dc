/* Bytes of a worker's stderr to lines of a log: cutting and formatting. Pure: no file, no clock, no
 * allocation.
 *
 *     2026-11-24T03:40:01.123456Z POOL/WORKER[PID] text\n
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
/* "POOL/20 digits[11 digits] " and the terminator */
#define DROP_LOGLINE_TAG_MAX (DROP_NAME_MAX + 40u)
#define DROP_LOGLINE_SIZE_MAX                                                                      \
    (DROP_LOGLINE_STAMP_SIZE + DROP_LOGLINE_TAG_MAX + 4 * DROP_LOGLINE_TEXT_MAX +                  \
     sizeof DROP_LOGLINE_MARK)

/* A time as text. Zeroed is valid to set; most calls of set fall into the same second and change
 * six digits. */
struct drop_logline_stamp {
    int64_t second; /* since 1970 */
    char text[DROP_LOGLINE_STAMP_SIZE];
};

/* Who wrote it: "POOL/WORKER[PID] ". */
struct drop_logline_tag {
    size_t length;
    char text[DROP_LOGLINE_TAG_MAX];
};

/* One line's text, borrowed from the bytes it was cut from. */
struct drop_logline_piece {
    const char *text;
    size_t length;
    bool continues; /* the worker's line goes on in the next piece */
};

void drop_logline_stamp_set(struct drop_logline_stamp *stamp, int64_t second, long nanosecond);

/* `pool` is at most DROP_NAME_MAX bytes. */
void drop_logline_tag_set(struct drop_logline_tag *tag, const char *pool, uint64_t worker,
                          pid_t pid);

/* Cuts the first piece off `bytes` and returns how many bytes that takes, the newline included; 0:
 * there is none yet, and then length is at most DROP_LOGLINE_TEXT_MAX. With at_end the rest without
 * a newline is a line, too. A long line is cut between characters where it is UTF-8. */
size_t drop_logline_cut(const char *bytes, size_t length, bool at_end,
                        struct drop_logline_piece *piece);

/* Writes the line of a piece, at most DROP_LOGLINE_SIZE_MAX bytes; returns how many. */
size_t drop_logline_format(char *out, const struct drop_logline_stamp *stamp,
                           const struct drop_logline_tag *tag,
                           const struct drop_logline_piece *piece);

/* The newlines in `bytes`. */
uint64_t drop_logline_count(const char *bytes, size_t length);

#endif
