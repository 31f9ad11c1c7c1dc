/* Which call a line belongs to: a real pipe and a mark that is driven by hand, case by case. */
#define _GNU_SOURCE
#include "log_world.h"

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
    return check_summary();
}
