/* Which call a line belongs to, when anything may happen at any time: histories by chance, and the
 * reactor's and the logger's thread at once (run it under the thread sanitizer, too). */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>

#include "log_world.h"

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
    RUN(test_histories_by_chance);
    RUN(test_reactor_and_logger_at_the_same_time);
    return check_summary();
}
