/* One thread that carries the stderr of all workers into the log files of their pools.
 *
 * It reads a burst (at most DROP_LOGWRITER_BURST) from each ready pipe, formats it, and has it on
 * its way to the disk before it reads the next one. It takes a turn at most once in
 * DROP_LOGGER_TURN_NS: under load one wake-up serves many lines, and a worker in an endless loop of
 * writing gets one burst through in each turn (130 MB/s), whatever of that is cut, and no more: it
 * waits for its full pipe, and the CPU is for others. A line that comes after a pause is read at
 * once.
 *
 * No line within the rate is thrown away for speed. When the disk refuses (full, broken) the line
 * is lost and counted, and reading goes on: see logfile.h. A disk that does not answer at all stops
 * the thread, and then the workers that fill their pipes; nothing but threads per disk would help,
 * and the dataplane is another thread.
 *
 * Memory: fixed buffers, a small structure per worker, up to DROP_LOGLINE_TEXT_MAX for a worker
 * that has written half a line, and DROP_LOGSINK_TAIL_MAX where a tail is kept. */
#ifndef DROP_LOGGER_H
#define DROP_LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "callmark.h"
#include "logsink.h"

/* time between two turns of a thread that always has something to do: nobody sees that a line is a
 * millisecond late, and a thousand wake-ups a second are about a hundredth of a CPU */
#define DROP_LOGGER_TURN_NS 1000000
/* requests for tails that wait for the thread */
#define DROP_LOGGER_REQUESTS_MAX 1024u

struct drop_logger;

struct drop_logger_options {
    uint64_t file_bytes_max; /* at least 1 */
    unsigned files;          /* at least 1 */
    int64_t age_max;         /* seconds after which a file is rotated; 0: none */
    uint32_t rate_lines;     /* of one worker a second, at most DROP_LOGRATE_MAX; 0: no limit */
};

struct drop_logger_statistics {
    uint64_t lines; /* written */
    uint64_t bytes; /* written */
    uint64_t lost;  /* lines that could not be written */
    uint64_t cut;   /* lines over the rate */
    uint64_t rotations;
    uint64_t write_errors;
    uint64_t truncated; /* times that a line was split for its length; nothing of it is lost */
    uint64_t sources;   /* pipes open now */
};

/* Makes a logger for the files in `directory`, which is made when only its last part is missing
 * (mode 0750). Returns 0 or an errno. Close it. */
int drop_logger_open(struct drop_logger **logger, const char *directory,
                     const struct drop_logger_options *options);

/* Starts the thread `drop-log`; 0 or an errno. Once in a logger's life. */
int drop_logger_start(struct drop_logger *logger);

/* Gives it the reading end of a worker's stderr; from any thread, before start as well. 0: the
 * descriptor is the logger's, which makes it non-blocking and closes it at its end of file.
 * Otherwise an errno, and it is still the caller's: EINVAL (not a pool's name), ESHUTDOWN
 * (stopped), EPERM (a descriptor that epoll does not take), ...
 * With `mark` lines get the ids of calls; *mark comes with one reference of the caller's. With
 * `tail` (and a mark) the end of what is written is kept as long as the mark. */
int drop_logger_add(struct drop_logger *logger, const char *pool, size_t pool_length,
                    uint64_t worker, pid_t pid, int fd, bool tail, struct drop_callmark **mark);

/* Asks for the end of what was written: logsink.h. EAGAIN: too many requests are waiting;
 * ESHUTDOWN: stopped. A request that was taken is answered, at a stop, too. */
int drop_logger_tail(struct drop_logger *logger, struct drop_callmark *mark,
                     drop_logsink_reply *reply, void *reply_context);

/* The logger as others see it. */
void drop_logger_sink(struct drop_logger *logger, struct drop_logsink *sink);

/* Opens all files by their names again, soon; from any thread. */
void drop_logger_reopen(struct drop_logger *logger);

/* Reads what is in the pipes now, not what living workers go on to write, closes them and ends the
 * thread. Blocks until then. A second call does nothing. A worker that still lives gets SIGPIPE
 * when it writes the next time. */
void drop_logger_stop(struct drop_logger *logger);

void drop_logger_statistics(struct drop_logger *logger, struct drop_logger_statistics *statistics);

/* Frees a logger whose thread does not run; descriptors that it was given and never read are
 * closed. */
void drop_logger_close(struct drop_logger *logger);

#endif
