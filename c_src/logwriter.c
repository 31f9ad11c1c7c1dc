#define _GNU_SOURCE
#include "logwriter.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(DROP_LOGWRITER_OUTPUT > DROP_LOGLINE_SIZE_MAX, "one line must fit into the output");

/* A pool's log while it has streams that have written something, or losses that the disk has not
 * taken the report of yet. */
struct drop_log {
    struct drop_log *next;
    struct drop_log **link;
    unsigned streams;
    size_t pool_length;
    char pool[DROP_NAME_MAX];
    struct drop_logfile file;
};

static void stamp_now(struct drop_logwriter *writer)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    drop_logline_stamp_set(&writer->stamp, now.tv_sec, now.tv_nsec);
}

/* The log of a stream, opened when the first of its pool writes something; NULL when there is no
 * memory. */
static struct drop_log *log_of(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    const char *pool = stream->tag.text;
    struct drop_log *log = writer->logs;
    while (log && (log->pool_length != stream->pool_length ||
                   memcmp(log->pool, pool, log->pool_length) != 0))
        log = log->next;
    if (!log) {
        log = calloc(1, sizeof *log);
        if (!log)
            return NULL;
        log->pool_length = stream->pool_length;
        memcpy(log->pool, pool, stream->pool_length);
        drop_logfile_open(&log->file, &writer->directory, pool, stream->pool_length);
        log->next = writer->logs;
        log->link = &writer->logs;
        if (log->next)
            log->next->link = &log->next;
        writer->logs = log;
    }
    log->streams++;
    return log;
}

static void close_log(struct drop_log *log)
{
    drop_logfile_close(&log->file);
    *log->link = log->next;
    if (log->next)
        log->next->link = log->link;
    free(log);
}

static void release_log(struct drop_logwriter *writer, struct drop_log *log)
{
    if (!log || --log->streams > 0)
        return;
    stamp_now(writer);
    if (drop_logfile_report_lost(&log->file, &writer->stamp))
        close_log(log);
}

static void flush(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    if (writer->output_length == 0)
        return;
    drop_logfile_write(&stream->log->file, writer->output, writer->output_length, &writer->stamp);
    writer->output_length = 0;
    writer->losing |= stream->log->file.lost > 0;
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
            put(writer, stream, &(struct drop_logline_piece){bytes, length, true});
            length = 0;
        } else {
            memcpy(carry, bytes, length);
            stream->carry = carry;
        }
    }
    stream->carried = length;
}

/* Writes the lines of `bytes`, which lie in the input and begin with what was carried. */
static void write_lines(struct drop_logwriter *writer, struct drop_logstream *stream,
                        const char *bytes, size_t length, bool at_end)
{
    struct drop_logline_piece piece;
    size_t used;
    stamp_now(writer);
    while ((used = drop_logline_cut(bytes, length, at_end, &piece)) > 0) {
        put(writer, stream, &piece);
        bytes += used;
        length -= used;
    }
    keep(writer, stream, bytes, length);
    flush(writer, stream);
}

ssize_t drop_logwriter_read(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    char *place = writer->input + DROP_LOGLINE_TEXT_MAX;
    ssize_t length = read(stream->fd, place, DROP_LOGWRITER_BURST);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (length <= 0)
        return -1;
    if (!stream->log && !(stream->log = log_of(writer, stream))) {
        atomic_fetch_add(&writer->directory.counters.lost,
                         drop_logline_count(place, (size_t)length));
        return length;
    }
    char *start = place - stream->carried;
    if (stream->carried)
        memcpy(start, stream->carry, stream->carried);
    write_lines(writer, stream, start, stream->carried + (size_t)length, false);
    return length;
}

void drop_logwriter_end(struct drop_logwriter *writer, struct drop_logstream *stream)
{
    if (stream->carried) {
        memcpy(writer->input, stream->carry, stream->carried);
        write_lines(writer, stream, writer->input, stream->carried, true);
    }
    release_log(writer, stream->log);
    stream->log = NULL;
}

void drop_logwriter_report_losses(struct drop_logwriter *writer)
{
    stamp_now(writer);
    if (writer->stamp.second == writer->reported_second)
        return;
    writer->reported_second = writer->stamp.second;
    writer->losing = false;
    for (struct drop_log *log = writer->logs, *next; log; log = next) {
        next = log->next;
        if (!drop_logfile_report_lost(&log->file, &writer->stamp))
            writer->losing = true;
        else if (log->streams == 0)
            close_log(log);
    }
}

void drop_logwriter_reopen(struct drop_logwriter *writer)
{
    for (struct drop_log *log = writer->logs; log; log = log->next)
        drop_logfile_reopen(&log->file);
}

void drop_logwriter_close(struct drop_logwriter *writer)
{
    stamp_now(writer);
    while (writer->logs) {
        assert(writer->logs->streams == 0);
        drop_logfile_report_lost(&writer->logs->file, &writer->stamp);
        close_log(writer->logs);
    }
}
