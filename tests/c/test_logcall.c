/* Which call a line belongs to: a real pipe, a mark that is driven by hand, and the writer of logs.
 * The races are made by a second thread that is reactor and worker in one. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
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
static char *logged(void)
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

static void test_line_of_a_call(void)
{
    set_up();
    say("before any\n");
    look();
    drop_callmark_given(mark, 0xa, 1);
    say("of a\n");
    look();
    drop_callmark_answered(mark, 0);
    end_stream();
    CHECK_LOG("- before any\na of a\n");
    tear_down();
}

/* Nobody has looked in between, and still each line is its call's. */
static void test_burst_of_several_calls(void)
{
    set_up();
    say("start\n");
    for (uint64_t call = 1; call <= 3; call++) {
        drop_callmark_given(mark, call, 1);
        say("one\ntwo\n");
        drop_callmark_answered(mark, 0);
    }
    end_stream();
    CHECK_LOG("- start\n1 one\n1 two\n2 one\n2 two\n3 one\n3 two\n");
    tear_down();
}

static void test_line_that_spans_two_calls(void)
{
    set_up();
    drop_callmark_given(mark, 1, 1);
    say("half");
    drop_callmark_answered(mark, 0);
    drop_callmark_given(mark, 2, 1);
    say(" and half\nwhole\n");
    look();
    drop_callmark_answered(mark, 0);
    drop_callmark_given(mark, 3, 1);
    say("carried");
    look();
    say(" on\n");
    look();
    say("torn");
    look();
    drop_callmark_answered(mark, 0);
    drop_callmark_given(mark, 4, 1);
    say(" apart\n");
    end_stream();
    CHECK_LOG("- half and half\n2 whole\n3 carried on\n- torn apart\n");
    tear_down();
}

static void test_several_calls_at_a_time(void)
{
    set_up();
    drop_callmark_given(mark, 1, 1);
    say("alone\n");
    look();
    drop_callmark_given(mark, 2, 2);
    say("one of two\n");
    drop_callmark_answered(mark, 1);
    say("one is left, who knows which\n");
    drop_callmark_answered(mark, 0);
    drop_callmark_given(mark, 3, 1);
    say("alone again\n");
    end_stream();
    CHECK_LOG("1 alone\n- one of two\n- one is left, who knows which\n3 alone again\n");
    tear_down();
}

static void test_message_without_an_id(void)
{
    set_up();
    drop_callmark_given(mark, 0, 1);
    say("of a cast\n");
    drop_callmark_answered(mark, 0);
    drop_callmark_given(mark, 1, 1);
    say("of a call\n");
    drop_callmark_answered(mark, 0);
    drop_callmark_given(mark, 0, 1);
    say("of a cast\n");
    end_stream();
    CHECK_LOG("- of a cast\n1 of a call\n- of a cast\n");
    tear_down();
}

/* A worker that goes on to write when it has answered: its call's, until somebody has looked. */
static void test_line_after_the_answer(void)
{
    set_up();
    drop_callmark_given(mark, 1, 1);
    say("at work\n");
    look();
    drop_callmark_answered(mark, 0);
    say("just done\n");
    look();
    CHECK(!drop_logwriter_is_restless(&stream));
    say("idle\n");
    look();
    end_stream();
    CHECK_LOG("1 at work\n1 just done\n- idle\n");
    tear_down();
}

static void test_stream_is_settled_when_its_call_has_ended(void)
{
    set_up();
    drop_callmark_given(mark, 1, 1);
    say("at work\n");
    look();
    CHECK(drop_logwriter_is_restless(&stream));
    CHECK_EQUAL(drop_logwriter_settle(writer, &stream), 0);
    CHECK(drop_logwriter_is_restless(&stream));
    drop_callmark_answered(mark, 0);
    CHECK_EQUAL(drop_logwriter_settle(writer, &stream), 0);
    CHECK(!drop_logwriter_is_restless(&stream));
    say("much later\n");
    end_stream();
    CHECK_LOG("1 at work\n- much later\n");
    tear_down();
}

/* While the logger is in the pipe the reactor does not wait for it: the part begins vaguely, and
 * only what is written after a look is certain. */
static void test_reactor_that_cannot_ask_the_pipe(void)
{
    set_up();
    REQUIRE(drop_callmark_try_pipe(mark));
    say("before\n");
    drop_callmark_given(mark, 1, 1);
    drop_callmark_leave_pipe(mark);
    say("in it\n");
    look();
    look();
    say("certain\n");
    look();
    drop_callmark_answered(mark, 0);
    end_stream();
    CHECK_LOG("- before\n- in it\n1 certain\n");
    tear_down();
}

static void test_closed_pipe_is_not_asked(void)
{
    set_up();
    mark->fd = -1;
    drop_callmark_given(mark, 1, 1);
    say("in it\n");
    end_stream();
    CHECK_LOG("- in it\n");
    tear_down();
}

static void test_more_calls_than_are_remembered(void)
{
    char text[32];
    int own = 0, nobodys = 0;
    set_up();
    for (unsigned call = 1; call <= 3 * DROP_CALLMARK_PARTS; call++) {
        drop_callmark_given(mark, call, 1);
        sprintf(text, "%x\n", call);
        say(text);
        drop_callmark_answered(mark, 0);
    }
    end_stream();
    for (char *line = strtok(logged(), "\n"); line; line = strtok(NULL, "\n")) {
        char *is = strchr(line, ' ') + 1;
        own += strncmp(line, is, strlen(is)) == 0 && line[strlen(is)] == ' ';
        nobodys += line[0] == '-';
    }
    CHECK_EQUAL(own, DROP_CALLMARK_PARTS);
    CHECK_EQUAL(nobodys, 2 * DROP_CALLMARK_PARTS);
    tear_down();
}

/* ---- a history by chance, against what was so when each byte was written ---- */

#define STEPS 400

static uint64_t chance(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % below;
}

/* The text of a line says which calls it may be given to: those of all of its bytes. */
static void take_step(uint64_t *seed, uint64_t *given, uint32_t *running, uint64_t *only)
{
    char text[32];
    switch (chance(seed, 7)) {
    case 0:
        if (*running < 1 + chance(seed, 2)) {
            drop_callmark_given(mark, ++*given, ++*running);
            *only = *running == 1 ? *given : 0;
        }
        break;
    case 1:
        if (*running > 0)
            drop_callmark_answered(mark, --*running);
        break;
    case 2:
        look();
        break;
    case 3:
        drop_logwriter_settle(writer, &stream);
        break;
    case 4: /* the reactor finds the pipe taken */
        if (*running == 0 && drop_callmark_try_pipe(mark)) {
            drop_callmark_given(mark, ++*given, *running = 1);
            drop_callmark_leave_pipe(mark);
            *only = *given;
        }
        break;
    case 5:
        sprintf(text, "%" PRIx64 ",", *only);
        say(text);
        break;
    default:
        sprintf(text, "%" PRIx64 "\n", *only);
        say(text);
    }
}

/* Every part of the text, "1,1,1", or "1,1," at the end, names the call of the line. */
static bool is_true(char *line)
{
    uint64_t call = strtoull(line, &line, 16);
    while (line[0] && line[1])
        if (strtoull(line + 1, &line, 16) != call)
            return false;
    return true;
}

static void test_histories_by_chance(void)
{
    int named = 0;
    for (uint64_t first = 1; first <= 60; first++) {
        uint64_t seed = first, given = 0, only = 0;
        uint32_t running = 0;
        set_up();
        for (int step = 0; step < STEPS; step++)
            take_step(&seed, &given, &running, &only);
        end_stream();
        for (char *line = strtok(logged(), "\n"); line; line = strtok(NULL, "\n")) {
            if (line[0] == '-')
                continue;
            named++;
            if (!is_true(line)) {
                fprintf(stderr, "seed %" PRIu64 ": %s\n", first, line);
                CHECK(false);
            }
        }
        tear_down();
    }
    CHECK(named > 400);
}

/* ---- two threads ---- */

#define CALLS 20000

static void *be_reactor_and_worker(void *ignored)
{
    char text[32];
    (void)ignored;
    for (unsigned call = 1; call <= CALLS; call++) {
        drop_callmark_given(mark, call, 1);
        sprintf(text, "%x\n", call);
        say(text);
        drop_callmark_answered(mark, 0);
    }
    close(worker);
    return NULL;
}

static void test_reactor_and_logger_at_the_same_time(void)
{
    pthread_t thread;
    int lines = 0, named = 0;
    set_up();
    REQUIRE(pthread_create(&thread, NULL, be_reactor_and_worker, NULL) == 0);
    while (drop_logwriter_read(writer, &stream) >= 0)
        ;
    pthread_join(thread, NULL);
    drop_logwriter_end(writer, &stream);
    drop_logwriter_close(writer);
    for (char *line = strtok(logged(), "\n"); line; line = strtok(NULL, "\n")) {
        lines++;
        if (line[0] == '-')
            continue;
        named++;
        CHECK(is_true(line));
    }
    CHECK_EQUAL(lines, CALLS);
    CHECK(named > 0);
    tear_down();
}

int main(void)
{
    RUN(test_line_of_a_call);
    RUN(test_burst_of_several_calls);
    RUN(test_line_that_spans_two_calls);
    RUN(test_several_calls_at_a_time);
    RUN(test_message_without_an_id);
    RUN(test_line_after_the_answer);
    RUN(test_stream_is_settled_when_its_call_has_ended);
    RUN(test_reactor_that_cannot_ask_the_pipe);
    RUN(test_closed_pipe_is_not_asked);
    RUN(test_more_calls_than_are_remembered);
    RUN(test_histories_by_chance);
    RUN(test_reactor_and_logger_at_the_same_time);
    return check_summary();
}
