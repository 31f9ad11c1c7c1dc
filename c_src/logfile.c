#define _GNU_SOURCE
#include "logfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".log"
#define SUFFIX_LENGTH (sizeof SUFFIX - 1)
#define ROTATED_SIZE (DROP_LOGFILE_NAME_SIZE + 16) /* with ".NUMBER" or ".new" behind it */
#define FILE_MODE 0640

static void count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* ---- names ---- */

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("_.:-/", byte));
}

size_t drop_logfile_name(const char *pool, size_t length, char name[DROP_LOGFILE_NAME_SIZE])
{
    if (length == 0 || length > DROP_NAME_MAX)
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_name_byte(pool[i]))
            return 0;
        name[i] = pool[i] == '/' ? '+' : pool[i] == ':' ? '=' : pool[i];
    }
    if (name[0] == '.')
        name[0] = ',';
    memcpy(name + length, SUFFIX, SUFFIX_LENGTH + 1);
    return length + SUFFIX_LENGTH;
}

size_t drop_logfile_pool(const char *name, size_t length, char pool[DROP_NAME_MAX + 1])
{
    if (length <= SUFFIX_LENGTH || length > DROP_NAME_MAX + SUFFIX_LENGTH ||
        memcmp(name + length - SUFFIX_LENGTH, SUFFIX, SUFFIX_LENGTH) != 0)
        return 0;
    length -= SUFFIX_LENGTH;
    for (size_t i = 0; i < length; i++)
        pool[i] = name[i] == '+' ? '/' : name[i] == '=' ? ':' : name[i];
    if (pool[0] == ',')
        pool[0] = '.';
    pool[length] = '\0';
    /* Only a name that leads back here is one of ours: `a:b.log` is not, nor is `.hidden.log`. */
    char back[DROP_LOGFILE_NAME_SIZE];
    if (drop_logfile_name(pool, length, back) == 0 || memcmp(back, name, length) != 0)
        return 0;
    return length;
}

/* ---- opening and rotating ---- */

static int open_in(const struct drop_logfile *file, const char *name, int more_flags)
{
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | more_flags;
    return openat(file->directory->fd, name, flags, FILE_MODE);
}

/* When a file that is not empty was begun; where its first line does not say so, when it was last
 * written. */
static int64_t begin_of(int fd, const struct stat *status)
{
    char line[DROP_LOGLINE_STAMP_SIZE];
    int64_t second = 0;
    if (pread(fd, line, sizeof line, 0) == sizeof line)
        second = drop_logline_stamp_second(line);
    return second ? second : status->st_mtim.tv_sec;
}

/* Takes over a descriptor: finds out how long and how old the file is and whether a crash has left
 * half a line at its end. */
static void use(struct drop_logfile *file, int fd)
{
    struct stat status = {0};
    char last = '\n';
    fstat(fd, &status);
    if (status.st_size > 0 && pread(fd, &last, 1, status.st_size - 1) != 1)
        last = '\n';
    file->begun = status.st_size > 0 ? begin_of(fd, &status) : 0;
    if (file->fd >= 0)
        close(file->fd);
    file->fd = fd;
    file->size = (uint64_t)status.st_size;
    file->torn = last != '\n';
}

/* Records that something failed, errno says how. */
static void fail(struct drop_logfile *file)
{
    count(&file->directory->counters.write_errors, 1);
    if (file->error == 0)
        file->error = errno;
}

static bool make_open(struct drop_logfile *file)
{
    if (file->fd >= 0)
        return true;
    int fd = open_in(file, file->name, 0);
    if (fd < 0) {
        fail(file);
        return false;
    }
    use(file, fd);
    return true;
}

void drop_logfile_open(struct drop_logfile *file, struct drop_logfile_directory *directory,
                       const char *pool, size_t length)
{
    *file = (struct drop_logfile){.directory = directory, .fd = -1};
    size_t valid = drop_logfile_name(pool, length, file->name);
    assert(valid);
    (void)valid;
    drop_logline_tag_set(&file->tag, pool, length, 0, getpid());
    make_open(file);
}

/* Renames in the directory; a source that does not exist is fine. */
static bool move(const struct drop_logfile *file, const char *from, const char *to)
{
    return renameat(file->directory->fd, from, file->directory->fd, to) == 0 || errno == ENOENT;
}

/* Moves POOL.log to POOL.log.1 and those behind it one up; the last one is replaced. */
static bool shift(const struct drop_logfile *file)
{
    char from[ROTATED_SIZE], to[ROTATED_SIZE];
    for (unsigned number = file->directory->files - 1; number >= 1; number--) {
        snprintf(to, sizeof to, "%s.%u", file->name, number);
        snprintf(from, sizeof from, "%s.%u", file->name, number - 1);
        if (!move(file, number == 1 ? file->name : from, to))
            return false;
    }
    return true;
}

/* The new file is opened under another name before anything moves: when there is no descriptor or
 * no space for it, the log goes on in the old file, over its size, and nothing of the history is
 * pushed out for nothing. */
static bool rotate(struct drop_logfile *file)
{
    char fresh[ROTATED_SIZE];
    snprintf(fresh, sizeof fresh, "%s.new", file->name);
    int fd = open_in(file, fresh, O_TRUNC);
    if (fd < 0 || !shift(file) || !move(file, fresh, file->name)) {
        count(&file->directory->counters.write_errors, 1);
        if (fd >= 0)
            close(fd);
        return false;
    }
    use(file, fd);
    count(&file->directory->counters.rotations, 1);
    return true;
}

void drop_logfile_reopen(struct drop_logfile *file)
{
    int fd = open_in(file, file->name, 0);
    if (fd < 0)
        count(&file->directory->counters.write_errors, 1);
    else
        use(file, fd);
}

void drop_logfile_close(struct drop_logfile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* ---- writing ---- */

/* write(2) until all is out or it fails; returns how many bytes are in the file. */
static size_t write_all(int fd, const char *bytes, size_t length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t written = write(fd, bytes + done, length - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    return done;
}

/* Appends whole lines; returns how many bytes of whole lines the file has got. A disk that fills up
 * takes a part of the last line: it is cut off again, or the next line would continue it. */
static size_t append(struct drop_logfile *file, const char *lines, size_t length)
{
    struct drop_logfile_counters *counters = &file->directory->counters;
    size_t written = write_all(file->fd, lines, length);
    size_t whole = written;
    if (written < length) {
        fail(file);
        const char *newline = memrchr(lines, '\n', written);
        whole = newline ? (size_t)(newline + 1 - lines) : 0;
        file->torn = whole < written && ftruncate(file->fd, (off_t)(file->size + whole)) != 0;
    }
    file->size += file->torn ? written : whole;
    count(&counters->bytes, whole);
    count(&counters->lines, drop_logline_count(lines, whole));
    return whole;
}

/* How much of `lines` the file still takes: whole lines only, at least one into an empty file. */
static size_t fit(const struct drop_logfile *file, const char *lines, size_t length)
{
    uint64_t bytes_max = file->directory->bytes_max;
    uint64_t room = file->size < bytes_max ? bytes_max - file->size : 0;
    if (length <= room)
        return length;
    const char *newline = memrchr(lines, '\n', (size_t)room);
    if (!newline && file->size == 0)
        newline = memchr(lines, '\n', length);
    return newline ? (size_t)(newline + 1 - lines) : 0;
}

/* Ends half a line that could not be cut off or that a crash has left. */
static bool mend(struct drop_logfile *file)
{
    if (!file->torn)
        return true;
    if (write_all(file->fd, "\n", 1) != 1) {
        fail(file);
        return false;
    }
    file->size++;
    file->torn = false;
    return true;
}

/* Rotates a file whose first line is too old. When that fails the file goes on and gets older. */
static void rotate_old(struct drop_logfile *file, int64_t now)
{
    int64_t age_max = file->directory->age_max;
    if (age_max > 0 && file->begun != 0 && now - file->begun >= age_max)
        rotate(file);
    if (file->begun == 0)
        file->begun = now;
}

/* As much as can be written; returns how many bytes that is. */
static size_t write_rotating(struct drop_logfile *file, const char *lines, size_t length,
                             const struct drop_logline_stamp *stamp)
{
    size_t done = 0;
    rotate_old(file, stamp->second);
    while (done < length) {
        size_t part = fit(file, lines + done, length - done);
        if (part == 0 && rotate(file))
            continue;
        if (part == 0)
            part = length - done;
        size_t whole = append(file, lines + done, part);
        done += whole;
        if (whole < part)
            break;
    }
    return done;
}

bool drop_logfile_report_lost(struct drop_logfile *file, const struct drop_logline_stamp *stamp)
{
    if (file->lost == 0)
        return true;
    if (!make_open(file) || !mend(file))
        return false;
    char text[128], reason[64], line[DROP_LOGLINE_STAMP_SIZE + DROP_LOGLINE_TAG_MAX + sizeof text];
    int length = snprintf(text, sizeof text, "[%" PRIu64 " lines lost: %.60s]", file->lost,
                          strerror_r(file->error, reason, sizeof reason));
    struct drop_logline_piece piece = {.text = text, .length = (size_t)length};
    size_t size = drop_logline_format(line, stamp, &file->tag, &piece);
    if (write_rotating(file, line, size, stamp) < size)
        return false;
    file->lost = 0;
    file->error = 0;
    return true;
}

void drop_logfile_write(struct drop_logfile *file, const char *lines, size_t length,
                        const struct drop_logline_stamp *stamp)
{
    size_t done = 0;
    if (drop_logfile_report_lost(file, stamp) && make_open(file) && mend(file))
        done = write_rotating(file, lines, length, stamp);
    if (done == length) {
        file->error = 0;
        return;
    }
    uint64_t lost = drop_logline_count(lines + done, length - done);
    file->lost += lost;
    count(&file->directory->counters.lost, lost);
}
