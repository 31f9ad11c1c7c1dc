/* Which call the bytes of a stderr belong to: the logger's side of callmark.h. Reads the pipe,
 * since a position and a read have to go together; else pure.
 *
 * A position says in which part a line stands, however late it is read. What a position cannot say
 * is that the call was still running: after its answer a worker may go on to write. That is what a
 * look is for, taken before a read that found the pipe empty: what is read later was written later.
 * So a line is named after the call of its part, except
 *   - when it stands in two parts, or the part is nobody's or forgotten;
 *   - when the part begins vaguely, and no look shows that it began before the line was written;
 *   - when a look shows that the call had been answered before the line was written. */
#ifndef DROP_LOGCALL_H
#define DROP_LOGCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "callmark.h"

/* What was so at one moment. */
struct drop_logcall_look {
    uint64_t begun;
    uint32_t running;
    bool is_open; /* somebody's part was the last, and it has not been answered */
};

/* Of one stream. Zeroed is valid: without a mark nothing belongs to a call. */
struct drop_logcall {
    struct drop_callmark *mark;
    uint64_t position;                    /* of the next byte to be read */
    struct drop_logcall_look before;      /* the bytes to come were written after this */
    struct drop_logcall_look line_before; /* the same for the line that is carried */
};

/* The parts that a burst may touch, newest first. */
struct drop_logcall_view {
    size_t count;
    size_t at; /* the part of the line asked for last: lines are asked for in order */
    uint64_t newest;
    struct {
        uint64_t from;
        uint64_t call;
        bool is_vague;
    } parts[DROP_CALLMARK_PARTS];
};

void drop_logcall_look(const struct drop_logcall *call, struct drop_logcall_look *look);

/* read(2), known to the mark. */
ssize_t drop_logcall_read(struct drop_logcall *call, int fd, void *bytes, size_t size);

/* The pipe was found empty after this look. */
void drop_logcall_emptied(struct drop_logcall *call, const struct drop_logcall_look *look);

/* Whether a later look could tell more about the lines to come. */
bool drop_logcall_is_unsettled(const struct drop_logcall *call);

/* What is needed for the bytes from `position` to the last one read. */
void drop_logcall_view(const struct drop_logcall *call, uint64_t position,
                       struct drop_logcall_view *view);

/* The call that the bytes from `position` on belong to, none of which was written before the look;
 * 0: not a certain one. `length` is at least 1. */
uint64_t drop_logcall_of(struct drop_logcall_view *view, const struct drop_logcall_look *before,
                         uint64_t position, size_t length);

#endif
