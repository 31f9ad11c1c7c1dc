#define _GNU_SOURCE
#include "logwriter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(DROP_LOGWRITER_OUTPUT > DROP_LOGLINE_SIZE_MAX, "one line must fit into the output");

static void set_now(struct drop_logwriter *writer)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    drop_logline_stamp_set(&writer->stamp, now.tv_sec, now.tv_nsec);
    clock_gettime(CLOCK_MONOTONIC, &now);
    writer->now = (uint64_t)now.tv_sec * DROP_LOGRATE_SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- one line ---- */

static void flush(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    if (writer->output_length == 0)
        return;
    drop_logfile_write(&stream->log->file, writer->output, writer->output_length, &writer->stamp);
    writer->output_length = 0;
    writer->logs.losing |= stream->log->file.lost > 0;
}

static void put(struct drop_logwriter *writer, struct drop_logstream *stream,
                const struct drop_logline_piece *piece)
{
    if (DROP_LOGWRITER_OUTPUT - writer->output_length < DROP_LOGLINE_SIZE_MAX)
        flush(writer, stream);
    writer->output_length += drop_logline_format(writer->output + writer->output_length,
                                                 &writer->stamp, &stream->tag, piece);
    if (piece->continues)
        atomic_fetch_add_explicit(&writer->truncated, 1, memory_order_relaxed);
}

/* Keeps the start of a line for the next burst. Without memory it is written as a line that
 * continues. */
static void keep(struct drop_logwriter *writer, struct drop_logstream *stream, const char *bytes,
                 size_t length)
{
    if (length == 0) {
        free(stream->carry);
        stream->carry = NULL;
    } else {
        char *carry = realloc(stream->carry, length);
        if (!carry) {
            drop_logline_tag_call(&stream->tag, 0);
            put(writer, stream, &(struct drop_logline_piece){bytes, length, true});
            length = 0;
        } else {
            memcpy(carry, bytes, length);
            stream->carry = carry;
        }
    }
    stream->carried = length;
}

/* ---- what is over the rate ---- */

/* Cuts all lines of the bytes; returns how many bytes that takes. */
static size_t cut(struct drop_logwriter *writer, struct drop_logstream *stream, const char *bytes,
                  size_t length, bool at_end)
{
    uint64_t lines;
    size_t skipped = drop_logline_skip(bytes, length, at_end, &lines);
    drop_lograte_cut(&stream->rate, writer->now, lines, skipped);
    atomic_fetch_add_explicit(&writer->cut, lines, memory_order_relaxed);
    return skipped;
}

/* A line of the worker's that says how many of its lines were cut. */
static void report_cut(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    char text[DROP_LOGRATE_TEXT_MAX];
    struct drop_logline_piece piece = {.text = text};
    piece.length = drop_lograte_report(&stream->rate, writer->rate_lines, text);
    if (piece.length == 0)
        return;
    drop_logline_tag_call(&stream->tag, 0);
    put(writer, stream, &piece);
}

static bool is_report_due(const struct drop_logwriter *writer, const struct drop_logstream *stream)
{
    return stream->rate.cut > 0 && writer->now >= stream->rate.report_at;
}

/* ---- bursts ---- */

/* Writes the lines of `bytes`, which lie in the input, begin with what was carried and end at the
 * stream's position. */
static void write_lines(struct drop_logwriter *writer, struct drop_logstream *stream,
                        const char *bytes, size_t length, bool at_end)
{
    struct drop_logcall *call = &stream->call;
    struct drop_logline_piece piece;
    uint64_t position = call->position - length;
    size_t used;
    if (stream->carried == 0)
        call->line_before = call->before;
    drop_logcall_view(call, position, &writer->view);
    if (is_report_due(writer, stream))
        report_cut(writer, stream);
    while ((used = drop_logline_cut(bytes, length, at_end, &piece)) > 0) {
        if (drop_lograte_take(&stream->rate, writer->rate_lines, writer->now, piece.length)) {
            uint64_t id = drop_logcall_of(&writer->view, &call->line_before, position, used);
            drop_logline_tag_call(&stream->tag, id);
            put(writer, stream, &piece);
        } else {
            used = cut(writer, stream, bytes, length, at_end);
        }
        bytes += used;
        length -= used;
        position += used;
        call->line_before = call->before;
    }
    keep(writer, stream, bytes, length);
    flush(writer, stream);
}

/* Without memory for a log nothing can be written; what comes is counted. */
static void lose(struct drop_logwriter *writer, struct drop_logstream *stream, const char *bytes,
                 size_t length)
{
    atomic_fetch_add_explicit(&writer->directory.counters.lost, drop_logline_count(bytes, length),
                              memory_order_relaxed);
    free(stream->carry);
    stream->carry = NULL;
    stream->carried = 0;
}

static void take(struct drop_logwriter *writer, struct drop_logstream *stream, char *bytes,
                 size_t length)
{
    if (stream->keeps_tail && !stream->tail)
        stream->tail = calloc(1, sizeof *stream->tail);
    if (stream->tail)
        drop_logtail_append(stream->tail, bytes, length);
    if (!stream->log)
        stream->log = drop_logset_take(&writer->logs, &writer->directory, stream->tag.text,
                                       stream->pool_length);
    if (!stream->log) {
        lose(writer, stream, bytes, length);
        return;
    }
    if (stream->carried)
        memcpy(bytes - stream->carried, stream->carry, stream->carried);
    write_lines(writer, stream, bytes - stream->carried, stream->carried + length, false);
}

ssize_t drop_logwriter_read(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    char *place = writer->input + DROP_LOGLINE_TEXT_MAX;
    struct drop_logcall_look look;
    drop_logcall_look(&stream->call, &look);
    ssize_t length = drop_logcall_read(&stream->call, stream->fd, place, DROP_LOGWRITER_BURST);
    if (length < 0 && errno == EINTR)
        return 0;
    if (length == 0 || (length < 0 && errno != EAGAIN))
        return -1;
    if (length > 0) {
        set_now(writer);
        take(writer, stream, place, (size_t)length);
    }
    if (length < (ssize_t)DROP_LOGWRITER_BURST) /* a pipe gives all that it has */
        drop_logcall_emptied(&stream->call, &look);
    return length > 0 ? length : 0;
}

bool drop_logwriter_is_restless(const struct drop_logstream *stream)
{
    return stream->rate.cut > 0 || drop_logcall_is_unsettled(&stream->call);
}

ssize_t drop_logwriter_settle(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    struct drop_logcall_look look;
    set_now(writer);
    if (is_report_due(writer, stream)) {
        report_cut(writer, stream);
        flush(writer, stream);
    }
    drop_logcall_look(&stream->call, &look);
    if (look.is_open || !drop_logcall_is_unsettled(&stream->call))
        return 0;
    return drop_logwriter_read(writer, stream);
}

void drop_logwriter_end(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    if (stream->tail)
        stream->tail->is_whole = true;
    if (!stream->log)
        return;
    set_now(writer);
    memcpy(writer->input, stream->carry ? stream->carry : "", stream->carried);
    write_lines(writer, stream, writer->input, stream->carried, true);
    report_cut(writer, stream);
    flush(writer, stream);
    drop_logset_give(&writer->logs, stream->log, &writer->stamp);
    stream->log = NULL;
}

/* ---- all logs ---- */

void drop_logwriter_upkeep(struct drop_logwriter *writer)
{
    set_now(writer);
    if (writer->stamp.second == writer->upkeep_second)
        return;
    writer->upkeep_second = writer->stamp.second;
    drop_logset_upkeep(&writer->logs, &writer->stamp);
}

void drop_logwriter_reopen(struct drop_logwriter *writer)
{
    drop_logset_reopen(&writer->logs);
}

void drop_logwriter_close(struct drop_logwriter *writer)
{
    set_now(writer);
    drop_logset_close(&writer->logs, &writer->stamp);
}
