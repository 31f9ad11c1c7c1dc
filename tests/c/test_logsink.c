/* The logger as the reactor sees it: streams of short-lived processes, and the ends of them, asked
 * for by several threads at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "logger.h"

#define CALLERS 4
#define PROCESSES 300

static char path[64];
static struct drop_logger *logger;
static struct drop_logsink sink;

/* What came back for one request. */
struct reply {
    sem_t came;
    size_t length;
    char text[DROP_LOGSINK_TAIL_MAX];
};

static void take_reply(void *context, const char *bytes, size_t length)
{
    struct reply *reply = context;
    memcpy(reply->text, bytes, length);
    reply->length = length;
    sem_post(&reply->came);
}

static void set_up(void)
{
    static const struct drop_logger_options options = {.file_bytes_max = 1 << 20, .files = 1};
    strcpy(path, "/tmp/drop-test-logsink-XXXXXX");
    if (!mkdtemp(path) || drop_logger_open(&logger, path, &options) != 0)
        abort();
    drop_logger_sink(logger, &sink);
}

static void tear_down(void)
{
    drop_logger_stop(logger);
    drop_logger_close(logger);
    int directory = open(path, O_RDONLY | O_DIRECTORY);
    unlinkat(directory, "p.log", 0);
    close(directory);
    CHECK(rmdir(path) == 0);
}

/* A stream; returns the writing end. */
static int open_stream(bool tail, struct drop_callmark **mark)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0 ||
        sink.add(sink.context, "p", 1, 1, 2, ends[0], tail, mark) != 0)
        abort();
    return ends[1];
}

static void say(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
}

static void ask(struct drop_callmark *mark, struct reply *reply)
{
    sem_init(&reply->came, 0, 0);
    if (sink.tail(sink.context, mark, take_reply, reply) != 0)
        abort();
    while (sem_wait(&reply->came) != 0)
        ;
    sem_destroy(&reply->came);
}

static void test_tail_of_a_stream_that_goes_on(void)
{
    struct reply reply;
    struct drop_callmark *mark;
    set_up();
    CHECK_EQUAL(drop_logger_start(logger), 0);
    int fd = open_stream(true, &mark);
    ask(mark, &reply);
    CHECK_EQUAL(reply.length, 0);
    say(fd, "one\ntwo\nhal");
    ask(mark, &reply);
    CHECK_BYTES(reply.text, reply.length, "one\ntwo\n");
    say(fd, "f\n");
    ask(mark, &reply);
    CHECK_BYTES(reply.text, reply.length, "one\ntwo\nhalf\n");
    drop_callmark_release(mark);
    close(fd);
    tear_down();
}

static void test_tail_of_a_stream_that_has_ended(void)
{
    struct reply reply;
    struct drop_callmark *mark, *silent, *without;
    set_up();
    CHECK_EQUAL(drop_logger_start(logger), 0);
    int fd = open_stream(true, &mark);
    say(fd, "no such file");
    close(fd);
    ask(mark, &reply);
    CHECK_BYTES(reply.text, reply.length, "no such file\n");
    ask(mark, &reply); /* as often as the mark is there */
    CHECK_BYTES(reply.text, reply.length, "no such file\n");
    close(open_stream(true, &silent));
    ask(silent, &reply);
    CHECK_EQUAL(reply.length, 0);
    fd = open_stream(false, &without);
    say(fd, "not kept\n");
    ask(without, &reply);
    CHECK_EQUAL(reply.length, 0);
    close(fd);
    drop_callmark_release(mark);
    drop_callmark_release(silent);
    drop_callmark_release(without);
    tear_down();
}

static void test_mark_is_the_loggers_alone_while_it_answers(void)
{
    struct reply reply;
    struct drop_callmark *mark;
    set_up();
    int fd = open_stream(true, &mark);
    say(fd, "some text\n");
    sem_init(&reply.came, 0, 0);
    CHECK_EQUAL(sink.tail(sink.context, mark, take_reply, &reply), 0);
    drop_callmark_release(mark);
    close(fd);
    CHECK_EQUAL(drop_logger_start(logger), 0);
    while (sem_wait(&reply.came) != 0)
        ;
    CHECK_BYTES(reply.text, reply.length, "some text\n");
    tear_down();
}

/* A request that was taken is answered at the stop; none is taken after it. */
static void test_stop(void)
{
    struct reply reply;
    struct drop_callmark *mark;
    set_up();
    int fd = open_stream(true, &mark);
    say(fd, "the end\n");
    sem_init(&reply.came, 0, 0);
    CHECK_EQUAL(sink.tail(sink.context, mark, take_reply, &reply), 0);
    CHECK_EQUAL(drop_logger_start(logger), 0);
    drop_logger_stop(logger);
    CHECK_EQUAL(sem_trywait(&reply.came), 0);
    CHECK_BYTES(reply.text, reply.length, "the end\n");
    CHECK_EQUAL(sink.tail(sink.context, mark, take_reply, &reply), ESHUTDOWN);
    drop_callmark_release(mark);
    close(fd);
    tear_down();
}

static void count_reply(void *context, const char *bytes, size_t length)
{
    (void)bytes;
    *(unsigned *)context += length == 0;
}

static void test_too_many_requests(void)
{
    struct drop_callmark *mark;
    unsigned replies = 0;
    set_up(); /* and never started */
    int fd = open_stream(true, &mark);
    for (unsigned i = 0; i < DROP_LOGGER_REQUESTS_MAX; i++)
        CHECK_EQUAL(sink.tail(sink.context, mark, count_reply, &replies), 0);
    CHECK_EQUAL(sink.tail(sink.context, mark, count_reply, &replies), EAGAIN);
    drop_callmark_release(mark);
    close(fd);
    tear_down();
    CHECK_EQUAL(replies, DROP_LOGGER_REQUESTS_MAX);
}

/* A reactor that runs a process for each message: most say nothing, every third has failed. */
static void *run_processes(void *argument)
{
    struct reply reply;
    char text[64], expected[72];
    unsigned *wrong = argument;
    for (int i = 0; i < PROCESSES; i++) {
        struct drop_callmark *mark;
        int fd = open_stream(true, &mark);
        drop_callmark_given(mark, (uint64_t)i + 1, 1);
        if (i % 3 == 0) {
            int length = sprintf(text, "process %d has failed", i);
            say(fd, text);
            sprintf(expected, "%s\n", text);
            drop_callmark_answered(mark, 0);
            close(fd);
            ask(mark, &reply);
            *wrong += reply.length != (size_t)length + 1 ||
                      memcmp(reply.text, expected, reply.length) != 0;
        } else {
            drop_callmark_answered(mark, 0);
            close(fd);
        }
        drop_callmark_release(mark);
    }
    return NULL;
}

static void test_many_processes_of_several_callers(void)
{
    pthread_t callers[CALLERS];
    unsigned wrong[CALLERS] = {0};
    struct drop_logger_statistics statistics;
    set_up();
    CHECK_EQUAL(drop_logger_start(logger), 0);
    for (int i = 0; i < CALLERS; i++)
        REQUIRE(pthread_create(&callers[i], NULL, run_processes, &wrong[i]) == 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i], NULL);
        CHECK_EQUAL(wrong[i], 0);
    }
    drop_logger_stop(logger);
    drop_logger_statistics(logger, &statistics);
    CHECK_EQUAL(statistics.lines, CALLERS * PROCESSES / 3);
    CHECK_EQUAL(statistics.sources, 0);
    tear_down();
}

static void test_silent_processes_have_no_file(void)
{
    struct drop_callmark *mark;
    set_up();
    CHECK_EQUAL(drop_logger_start(logger), 0);
    for (int i = 0; i < 10; i++) {
        close(open_stream(true, &mark));
        drop_callmark_release(mark);
    }
    drop_logger_stop(logger);
    drop_logger_close(logger);
    CHECK(rmdir(path) == 0);
}

static void test_what_add_refuses_has_no_mark(void)
{
    struct drop_callmark *mark = NULL;
    set_up();
    CHECK_EQUAL(sink.add(sink.context, "a b", 3, 1, 2, 0, true, &mark), EINVAL);
    CHECK_EQUAL(sink.add(sink.context, "p", 1, 1, 2, -1, true, &mark), EBADF);
    drop_logger_stop(logger);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    CHECK_EQUAL(sink.add(sink.context, "p", 1, 1, 2, ends[0], true, &mark), ESHUTDOWN);
    CHECK(!mark);
    close(ends[0]);
    close(ends[1]);
    tear_down();
}

int main(void)
{
    RUN(test_tail_of_a_stream_that_goes_on);
    RUN(test_tail_of_a_stream_that_has_ended);
    RUN(test_mark_is_the_loggers_alone_while_it_answers);
    RUN(test_stop);
    RUN(test_too_many_requests);
    RUN(test_many_processes_of_several_callers);
    RUN(test_silent_processes_have_no_file);
    RUN(test_what_add_refuses_has_no_mark);
    return check_summary();
}
