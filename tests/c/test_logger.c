/* The logger's thread against several callers at once: run it under the thread sanitizer, too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "logger.h"
#include "lograte.h"

#define CALLERS 4
#define PIPES 25
#define LINES 40

static char path[64];
static const struct drop_logger_options options = {.file_bytes_max = 16 << 10, .files = 3};

static struct drop_logger *set_up(void)
{
    struct drop_logger *logger = NULL;
    strcpy(path, "/tmp/drop-test-logger-XXXXXX");
    if (!mkdtemp(path))
        abort();
    CHECK_EQUAL(drop_logger_open(&logger, path, &options), 0);
    return logger;
}

static void tear_down(struct drop_logger *logger)
{
    static const char *const names[] = {"a.log", "a.log.1", "a.log.2",
                                        "b.log", "b.log.1", "b.log.2"};
    drop_logger_close(logger);
    int directory = open(path, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(directory, names[i], 0);
    close(directory);
    CHECK(rmdir(path) == 0);
}

/* Adds pipes one after the other, writes lines into each and ends it; looks and reopens in between.
 */
static void *call(void *argument)
{
    struct drop_logger *logger = argument;
    struct drop_logger_statistics statistics;
    for (int i = 0; i < PIPES; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            abort();
        const char *pool = i % 2 ? "a" : "b";
        if (drop_logger_add(logger, pool, 1, (uint64_t)i, 1, ends[0], false, NULL) != 0)
            abort();
        for (int line = 0; line < LINES; line++)
            if (write(ends[1], "some text\n", 10) != 10)
                abort();
        close(ends[1]);
        drop_logger_statistics(logger, &statistics);
        if (i % 10 == 0)
            drop_logger_reopen(logger);
    }
    return NULL;
}

static void test_many_callers(void)
{
    struct drop_logger *logger = set_up();
    pthread_t callers[CALLERS];
    REQUIRE(logger);
    CHECK_EQUAL(drop_logger_start(logger), 0);
    CHECK_EQUAL(drop_logger_start(logger), EALREADY);
    for (int i = 0; i < CALLERS; i++)
        REQUIRE(pthread_create(&callers[i], NULL, call, logger) == 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    drop_logger_stop(logger);
    struct drop_logger_statistics statistics;
    drop_logger_statistics(logger, &statistics);
    CHECK_EQUAL(statistics.lines, CALLERS * PIPES * LINES);
    CHECK_EQUAL(statistics.lost, 0);
    CHECK_EQUAL(statistics.sources, 0);
    CHECK(statistics.rotations > 0);
    tear_down(logger);
}

static void test_what_add_refuses_stays_open(void)
{
    struct drop_logger *logger = set_up();
    int ends[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(logger && pipe2(ends, O_CLOEXEC) == 0);
    CHECK_EQUAL(drop_logger_add(logger, "a b", 3, 1, 1, ends[0], false, NULL), EINVAL);
    CHECK_EQUAL(drop_logger_add(logger, "a", 1, 1, 1, -1, false, NULL), EBADF);
    CHECK_EQUAL(drop_logger_add(logger, "a", 1, 1, 1, file, false, NULL), EPERM);
    drop_logger_stop(logger);
    CHECK_EQUAL(drop_logger_add(logger, "a", 1, 1, 1, ends[0], false, NULL), ESHUTDOWN);
    CHECK(fcntl(ends[0], F_GETFD) >= 0 && fcntl(file, F_GETFD) >= 0);
    close(ends[0]);
    close(ends[1]);
    close(file);
    tear_down(logger);
}

static void test_open_refuses(void)
{
    struct drop_logger *logger;
    CHECK_EQUAL(drop_logger_open(&logger, "/dev/null", &options), ENOTDIR);
    CHECK_EQUAL(drop_logger_open(&logger, "/no/such/parent", &options), ENOENT);
    static const struct drop_logger_options wrong[] = {
        {.file_bytes_max = 0, .files = 3},
        {.file_bytes_max = 1000, .files = 0},
        {.file_bytes_max = 1000, .files = 3, .age_max = -1},
        {.file_bytes_max = 1000, .files = 3, .rate_lines = DROP_LOGRATE_MAX + 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQUAL(drop_logger_open(&logger, "/tmp", &wrong[i]), EINVAL);
    CHECK(!logger);
}

int main(void)
{
    RUN(test_many_callers);
    RUN(test_what_add_refuses_stays_open);
    RUN(test_open_refuses);
    return check_summary();
}
