/* One thread that carries the stderr of all workers into the log files of their pools.
 *
 * It reads a burst (at most DROP_LOGWRITER_BURST) from a ready pipe, formats it, and has it on its
 * way to the disk before it reads the next one: the pipes take turns, and a worker that floods its
 * log is slowed by its own full pipe to the share of the disk that its turn gives it. No line is
 * thrown away for speed. When the disk refuses (full, broken) the line is lost and counted, and
 * reading goes on: see logfile.h. A disk that does not answer at all stops the thread, and then the
 * workers that fill their pipes; nothing but threads per disk would help, and the dataplane is
 * another thread.
 *
 * Memory: two fixed buffers, a small structure per worker, and up to DROP_LOGLINE_TEXT_MAX for a
 * worker that has written half a line. */
#ifndef DROP_LOGGER_H
#define DROP_LOGGER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct drop_logger;

struct drop_logger_statistics {
    uint64_t lines; /* written */
    uint64_t bytes; /* written */
    uint64_t lost;  /* lines that could not be written */
    uint64_t rotations;
    uint64_t write_errors;
    uint64_t truncated; /* times that a line was split for its length; nothing of it is lost */
    uint64_t sources;   /* pipes open now */
};

/* Makes a logger for the files in `directory`, which is made when only its last part is missing
 * (mode 0750). Returns 0 or an errno. Close it. */
int drop_logger_open(struct drop_logger **logger, const char *directory, uint64_t file_bytes_max,
                     unsigned files);

/* Starts the thread `drop-log`; 0 or an errno. Once in a logger's life. */
int drop_logger_start(struct drop_logger *logger);

/* Gives it the reading end of a worker's stderr; from any thread, before start as well. 0: the
 * descriptor is the logger's, which makes it non-blocking and closes it at its end of file.
 * Otherwise an errno, and it is still the caller's: EINVAL (not a pool's name), ESHUTDOWN
 * (stopped), EPERM (a descriptor that epoll does not take), ... */
int drop_logger_add(struct drop_logger *logger, const char *pool, size_t pool_length,
                    uint64_t worker, pid_t pid, int fd);

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
