/* A worker's stderr by hand, for the tests of which call a line belongs to: a real pipe, its
 * mark, and the writer of logs in a directory of its own. Included once per program. */
#ifndef LOG_WORLD_H
#define LOG_WORLD_H

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "logwriter.h"

static char path[64];
static struct drop_logwriter *writer;
static struct drop_logstream stream;
static struct drop_callmark *mark;
static int worker; /* the writing end of its stderr */

static void set_up(void)
{
    int ends[2];
    strcpy(path, "/tmp/drop-test-logcall-XXXXXX");
    writer = calloc(1, sizeof *writer);
    mark = drop_callmark_create();
    if (!mkdtemp(path) || !writer || !mark || pipe2(ends, O_CLOEXEC) != 0)
        abort();
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    worker = ends[1];
    writer->directory =
        (struct drop_logfile_directory){.bytes_max = 1 << 30, .files = 1,
                                        .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    stream = (struct drop_logstream){.fd = ends[0], .pool_length = 1, .call.mark = mark};
    drop_logline_tag_set(&stream.tag, "p", 1, 1, 2);
    mark->fd = ends[0];
}

static void end_stream(void)
{
    close(worker);
    while (drop_logwriter_read(writer, &stream) > 0)
        ;
    drop_logwriter_end(writer, &stream);
    drop_logwriter_close(writer);
}

static void tear_down(void)
{
    close(stream.fd);
    unlinkat(writer->directory.fd, "p.log", 0);
    close(writer->directory.fd);
    CHECK(rmdir(path) == 0);
    drop_callmark_release(mark);
    drop_callmark_release(mark);
    free(writer);
}

static void say(const char *text)
{
    if (write(worker, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
}

static void look(void)
{
    CHECK(drop_logwriter_read(writer, &stream) >= 0);
}

/* "CALL text" of every line of the log, one after the other; the ids without zeros in front. */
static inline char *logged(void)
{
    static char text[1 << 22];
    char line[512];
    size_t length = 0;
    int fd = openat(writer->directory.fd, "p.log", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    while (file && fgets(line, sizeof line, file)) {
        char *call = strchr(strchr(line, ' ') + 1, ' ') + 1;
        while (*call == '0')
            call++;
        length += (size_t)sprintf(text + length, "%s", call);
    }
    text[length] = '\0';
    if (file)
        fclose(file);
    return text;
}

#define CHECK_LOG(expected) CHECK_BYTES(logged(), strlen(logged()), expected)

#endif
