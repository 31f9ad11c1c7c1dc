/* Bursts of streams in a pool's log: the rate, what is left of a flood, and logs that are kept open
 * between short-lived streams. The clock is real; rates are such that it does not matter. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "logwriter.h"

#define BURST (64u << 10) /* what a pipe holds */

static char path[64];
static struct drop_logwriter *writer;

static void set_up(uint32_t rate_lines)
{
    strcpy(path, "/tmp/drop-test-logwriter-XXXXXX");
    writer = calloc(1, sizeof *writer);
    if (!mkdtemp(path) || !writer)
        abort();
    writer->rate_lines = rate_lines;
    writer->directory = (struct drop_logfile_directory){
        .bytes_max = 1 << 30, .files = 1, .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
}

static void tear_down(void)
{
    drop_logwriter_close(writer);
    unlinkat(writer->directory.fd, "p.log", 0);
    close(writer->directory.fd);
    CHECK(rmdir(path) == 0);
    free(writer);
}

/* Returns the writing end. */
static int open_stream(struct drop_logstream *stream)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    *stream = (struct drop_logstream){.fd = ends[0], .pool_length = 1};
    drop_logline_tag_set(&stream->tag, "p", 1, 1, 2);
    return ends[1];
}

static void end_stream(struct drop_logstream *stream, int fd)
{
    close(fd);
    while (drop_logwriter_read(writer, stream) > 0)
        ;
    drop_logwriter_end(writer, stream);
    close(stream->fd);
}

static void say(int fd, const char *bytes, size_t length)
{
    if (write(fd, bytes, length) != (ssize_t)length)
        abort();
}

/* How many lines of the log end so. */
static unsigned count_lines(const char *ending)
{
    static char line[DROP_LOGLINE_SIZE_MAX];
    unsigned count = 0;
    int fd = openat(writer->directory.fd, "p.log", O_RDONLY | O_CLOEXEC);
    FILE *file = fdopen(fd, "r");
    while (file && fgets(line, sizeof line, file)) {
        size_t length = strlen(line), end = strlen(ending);
        count += length >= end && strcmp(line + length - end, ending) == 0;
    }
    fclose(file);
    return count;
}

static void test_flood_is_cut_and_reported(void)
{
    struct drop_logstream stream;
    static char lines[BURST];
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 2 ? '\n' : 'y';
    set_up(100);
    int fd = open_stream(&stream);
    for (int i = 0; i < 10; i++) {
        say(fd, lines, sizeof lines);
        CHECK_EQUAL(drop_logwriter_read(writer, &stream), BURST);
    }
    CHECK(drop_logwriter_is_restless(&stream));
    end_stream(&stream, fd);
    uint64_t lines_written = writer->directory.counters.lines;
    uint64_t reports = lines_written - count_lines(" - y\n");
    CHECK(reports >= 1);
    CHECK(lines_written >= 100);
    CHECK_EQUAL(lines_written - reports + writer->cut, 10 * BURST / 2);
    CHECK_EQUAL(count_lines(" lines cut: more than 100 lines a second]\n"), reports);
    tear_down();
}

/* A gibibyte without a newline in small: pieces of it pass as the bytes of the rate allow. */
static void test_flood_without_a_newline(void)
{
    struct drop_logstream stream;
    static char bytes[BURST];
    memset(bytes, 'x', sizeof bytes);
    set_up(1);
    int fd = open_stream(&stream);
    for (int i = 0; i < 20; i++) {
        say(fd, bytes, sizeof bytes);
        CHECK_EQUAL(drop_logwriter_read(writer, &stream), BURST);
        CHECK(stream.carried <= DROP_LOGLINE_TEXT_MAX);
    }
    end_stream(&stream, fd);
    CHECK_EQUAL(count_lines("x [continues]\n"), 1);
    CHECK_EQUAL(count_lines(" lines cut: more than 256 bytes a second]\n"), 1);
    tear_down();
}

static void test_rate_is_each_streams_own(void)
{
    struct drop_logstream noisy, quiet;
    char lines[2000];
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 2 ? '\n' : 'n';
    set_up(10);
    int noise = open_stream(&noisy), fd = open_stream(&quiet);
    say(noise, lines, sizeof lines);
    CHECK(drop_logwriter_read(writer, &noisy) > 0);
    say(fd, "quiet\n", 6);
    CHECK(drop_logwriter_read(writer, &quiet) > 0);
    CHECK_EQUAL(count_lines("quiet\n"), 1);
    CHECK(!drop_logwriter_is_restless(&quiet));
    end_stream(&noisy, noise);
    end_stream(&quiet, fd);
    CHECK_EQUAL(count_lines("lines cut: more than 10 lines a second]\n"), 1);
    tear_down();
}

static void test_log_stays_open_between_streams(void)
{
    struct drop_logstream stream;
    set_up(0);
    int fd = open_stream(&stream);
    CHECK(!drop_logset_needs_upkeep(&writer->logs));
    say(fd, "one\n", 4);
    CHECK(drop_logwriter_read(writer, &stream) > 0);
    struct drop_log *log = stream.log;
    end_stream(&stream, fd);
    CHECK(drop_logset_needs_upkeep(&writer->logs));
    CHECK(log->file.fd >= 0);
    fd = open_stream(&stream);
    say(fd, "two\n", 4);
    CHECK(drop_logwriter_read(writer, &stream) > 0);
    CHECK(stream.log == log);
    CHECK(!drop_logset_needs_upkeep(&writer->logs));
    end_stream(&stream, fd);
    log->unused_since -= DROP_LOGSET_KEEP;
    drop_logwriter_upkeep(writer);
    CHECK(!drop_logset_needs_upkeep(&writer->logs));
    tear_down();
}

static void test_many_pools(void)
{
    struct drop_logline_stamp stamp = {0};
    char name[32];
    set_up(0);
    struct drop_log *logs[300];
    for (int i = 0; i < 300; i++) {
        size_t length = (size_t)sprintf(name, "pool%d", i);
        logs[i] = drop_logset_take(&writer->logs, &writer->directory, name, length);
        REQUIRE(logs[i]);
        CHECK(drop_logset_take(&writer->logs, &writer->directory, name, length) == logs[i]);
        drop_logset_give(&writer->logs, logs[i], &stamp);
    }
    CHECK_EQUAL(writer->logs.unused, 0);
    for (int i = 0; i < 300; i++)
        drop_logset_give(&writer->logs, logs[i], &stamp);
    CHECK_EQUAL(writer->logs.unused, DROP_LOGSET_UNUSED_MAX);
    for (int i = 0; i < 300; i++) {
        sprintf(name, "pool%d.log", i);
        CHECK(unlinkat(writer->directory.fd, name, 0) == 0);
    }
    tear_down();
}

int main(void)
{
    RUN(test_flood_is_cut_and_reported);
    RUN(test_flood_without_a_newline);
    RUN(test_rate_is_each_streams_own);
    RUN(test_log_stays_open_between_streams);
    RUN(test_many_pools);
    return check_summary();
}
