/* The Runtime API as a runtime sees it: each request, in order, torn, repeated, too large, and with
 * connections that end where they should not. */
#include "lambda_bench.h"

static void test_one_invocation(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "{\"a\":1}");
    poll_and_deliver(&bench);
    CHECK(strncmp(bench.reply, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", 49) == 0);
    CHECK(strstr(bench.reply, "Content-Length: 7\r\n"));
    CHECK(strstr(bench.reply, "Lambda-Runtime-Deadline-Ms: 1700000005000\r\n"));
    CHECK(strstr(bench.reply, "Lambda-Runtime-Invoked-Function-Arn: arn:x\r\n"));
    CHECK(strstr(bench.reply, "Lambda-Runtime-Trace-Id: Root=1-6553f100-"));
    CHECK(strstr(bench.reply, "\r\n\r\n{\"a\":1}"));
    char id[64];
    snprintf(id, sizeof id, "Aws-Request-Id: %s\r\n", bench.invocation.id);
    CHECK(strstr(bench.reply, id));
    CHECK_EQUAL(strlen(bench.invocation.id), 36);
    CHECK_EQUAL(bench.invocation.id[14], '4');
    CHECK_EQUAL(
        send_post(&bench, bench.invocation.id, "response", "Content-Length: 4\r\n\r\ndone"), 202);
    CHECK(strstr(bench.reply, "{\"status\":\"OK\"}\n"));
    CHECK(!bench.invocation.failed);
    check_answer(&bench, "done");
    CHECK(drop_lambda_invocation_is_free(&bench.invocation));
    close_bench(&bench);
}

static void test_error_of_a_handler(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "error",
                          "Content-Length: 20\r\n\r\n{\"errorMessage\":\"x\"}"),
                202);
    CHECK(bench.invocation.failed);
    check_answer(&bench, "{\"errorMessage\":\"x\"}");
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "error",
                          "Lambda-Runtime-Function-Error-Type: A\"B\r\n" EMPTY),
                202);
    check_answer(&bench, "{\"errorMessage\":\"\",\"errorType\":\"A\\\"B\"}");
    close_bench(&bench);
}

static void test_chunked_and_streamed(void)
{
    static const char chunks[] = "Transfer-Encoding: chunked\r\n"
                                 "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
                                 "2\r\nab\r\n1\r\nc\r\n0\r\n";
    struct bench bench;
    char request[1024];
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    snprintf(request, sizeof request, "%s\r\n", chunks);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", request), 202);
    check_answer(&bench, "abc");
    offer(&bench, "1");
    poll_and_deliver(&bench);
    snprintf(request, sizeof request,
             "%sLambda-Runtime-Function-Error-Type: T\r\n"
             "Lambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJUIn0=\r\n\r\n",
             chunks);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", request), 202);
    CHECK(bench.invocation.failed);
    check_answer(&bench, "{\"errorType\":\"T\"}");
    offer(&bench, "1");
    poll_and_deliver(&bench);
    snprintf(request, sizeof request, "%sLambda-Runtime-Function-Error-Type: T\r\n\r\n", chunks);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", request), 202);
    check_answer(&bench,
                 "{\"errorMessage\":\"The response ended with an error.\",\"errorType\":\"T\"}");
    close_bench(&bench);
}

static void test_wrong_and_repeated_ids(void)
{
    struct bench bench;
    open_bench(&bench);
    CHECK_EQUAL(send_post(&bench, "x", "response", EMPTY), 400);
    CHECK_EQUAL(send_post(&bench, "", "response", EMPTY), 400);
    offer(&bench, "1");
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", EMPTY), 400);
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_post(&bench, "x", "response", EMPTY), 400);
    CHECK(strstr(bench.reply, "{\"errorMessage\":\"Invalid request ID\",\"errorType\":"
                              "\"InvalidRequestID\"}\n"));
    CHECK_EQUAL(bench.invocation.state, DROP_LAMBDA_RUNNING);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", EMPTY), 202);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", EMPTY), 403);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "error", EMPTY), 403);
    CHECK(strstr(bench.reply, "\"errorType\":\"InvalidStateTransition\""));
    check_answer(&bench, "");
    close_bench(&bench);
}

/* Two connections answer the same invocation: who began is taken, the other is told. */
static void test_two_answers_at_once(void)
{
    struct bench bench;
    char request[256];
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(
        send_post(&bench, bench.invocation.id, "response", "Content-Length: 3\r\n\r\nab"), 0);
    snprintf(request, sizeof request,
             "POST " RUNTIME "invocation/%s/error HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
             bench.invocation.id);
    send_torn(&bench, &bench.other, request, 3);
    CHECK(strstr(bench.reply, "HTTP/1.1 403 "));
    CHECK_EQUAL(send_request(&bench, "c"), 202);
    check_answer(&bench, "abc");
    close_bench(&bench);
}

static void test_paths_and_methods(void)
{
    static const struct {
        int status;
        const char *line;
    } requests[] = {
        {404, "GET / HTTP/1.1"},
        {404, "GET /2018-06-01/runtime HTTP/1.1"},
        {404, "GET " RUNTIME "invocation/nextx HTTP/1.1"},
        {404, "GET /2020-01-01/extension/event/next HTTP/1.1"},
        {404, "POST " RUNTIME "invocation/x/other HTTP/1.1"},
        {405, "POST " RUNTIME "invocation/next HTTP/1.1"},
        {405, "GET " RUNTIME "invocation/x/response HTTP/1.1"},
        {405, "PUT " RUNTIME "init/error HTTP/1.1"},
        {505, "GET / HTTP/3.0"},
        {400, "GET /"},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct bench bench;
        char request[256];
        open_bench(&bench);
        snprintf(request, sizeof request, "%s\r\nContent-Length: 2\r\n\r\nxy", requests[i].line);
        if (send_request(&bench, request) != requests[i].status)
            check_fail(__FILE__, __LINE__, requests[i].line);
        CHECK(strstr(bench.reply, "\"errorType\":\""));
        close_bench(&bench);
    }
}

static void test_next_while_one_is_out(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_request(&bench, "GET " RUNTIME "invocation/next HTTP/1.1\r\n\r\n"), 403);
    close_bench(&bench);
}

static void test_init_error(void)
{
    struct bench bench;
    open_bench(&bench);
    CHECK_EQUAL(send_request(&bench, "POST " RUNTIME
                                     "init/error HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
                202);
    CHECK(bench.invocation.init_failed);
    CHECK_BYTES(bench.exchange.body.at + 4, bench.exchange.body.length - 4, "{}");
    close_bench(&bench);
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_request(&bench, "POST " RUNTIME "init/error HTTP/1.1\r\n" EMPTY), 403);
    CHECK(!bench.invocation.init_failed);
    close_bench(&bench);
}

static void test_too_large(void)
{
    struct bench bench;
    char request[4096], body[1200];
    memset(body, 'x', sizeof body);
    open_bench(&bench);
    for (int chunked = 0; chunked < 2; chunked++) {
        offer(&bench, "1");
        poll_and_deliver(&bench);
        if (chunked)
            snprintf(request, sizeof request,
                     "Transfer-Encoding: chunked\r\n\r\n3ff\r\n%.1023s\r\n0\r\n\r\n", body);
        else
            snprintf(request, sizeof request, "Content-Length: 1001\r\n\r\n%.1001s", body);
        CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", request), 413);
        CHECK(strstr(bench.reply, "\"errorType\":\"RequestEntityTooLarge\""));
        check_answer(&bench, "{\"errorMessage\":\"The response is larger than the payload limit.\","
                             "\"errorType\":\"Function.ResponseSizeTooLarge\"}");
    }
    offer(&bench, "1");
    poll_and_deliver(&bench);
    snprintf(request, sizeof request, "Content-Length: 1000\r\n\r\n%.1000s", body);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response", request), 202);
    CHECK_EQUAL(bench.invocation.answer.length, 1004);
    close_bench(&bench);
}

static void test_expect_continue(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response",
                          "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
                100);
    CHECK_EQUAL(send_request(&bench, "ok"), 202);
    check_answer(&bench, "ok");
    CHECK_EQUAL(send_post(&bench, "x", "response",
                          "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
                400);
    CHECK(strstr(bench.reply, "Connection: close\r\n"));
    CHECK_EQUAL(bench.exchange.state, DROP_LAMBDA_DISCARD);
    CHECK_EQUAL(send_request(&bench, "GET / HTTP/1.1\r\n\r\n"), 0);
    close_bench(&bench);
}

/* Requests that were sent ahead are served in order, the poll among them when there is an event. */
static void test_pipelined(void)
{
    struct bench bench;
    char request[1024];
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    snprintf(request, sizeof request,
             "\r\nPOST " RUNTIME "invocation/%s/response HTTP/1.1\r\nContent-Length: 1\r\n\r\nA"
             "GET " RUNTIME "invocation/next HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
             bench.invocation.id);
    CHECK_EQUAL(send_request(&bench, request), 202);
    CHECK_EQUAL(bench.exchange.state, DROP_LAMBDA_POLL);
    CHECK(!drop_lambda_exchange_wants_input(&bench.exchange));
    check_answer(&bench, "A");
    offer(&bench, "22");
    drop_lambda_exchange_deliver(&bench.exchange, &bench.invocation);
    collect(&bench, &bench.exchange);
    CHECK(strstr(bench.reply, "\r\n\r\n22HTTP/1.1 404 Not Found\r\n"));
    close_bench(&bench);
}

static void test_connection_ends_in_a_response(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    send_post(&bench, bench.invocation.id, "response", "Content-Length: 9\r\n\r\nab");
    drop_lambda_exchange_close(&bench.exchange, &bench.invocation);
    check_answer(&bench, "{\"errorMessage\":\"The runtime closed the connection in the middle of "
                         "its response.\",\"errorType\":\"Runtime.TruncatedResponse\"}");
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response",
                          "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
                400);
    CHECK(strstr(bench.reply, "Connection: close\r\n"));
    check_answer(&bench, "{\"errorMessage\":\"The runtime sent a response that is not well "
                         "formed.\",\"errorType\":\"Runtime.TruncatedResponse\"}");
    close_bench(&bench);
}

/* An event that did not reach its runtime whole is given to the next one that asks. */
static void test_connection_ends_in_an_event(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "event");
    send_request(&bench, "GET " RUNTIME "invocation/next HTTP/1.1\r\n\r\n");
    drop_lambda_exchange_deliver(&bench.exchange, &bench.invocation);
    drop_lambda_exchange_sent(&bench.exchange, &bench.invocation, bench.exchange.out.length + 4);
    CHECK_EQUAL(bench.invocation.state, DROP_LAMBDA_DELIVERING);
    drop_lambda_exchange_close(&bench.exchange, &bench.invocation);
    CHECK_EQUAL(bench.invocation.state, DROP_LAMBDA_WAITING);
    poll_and_deliver(&bench);
    CHECK(strstr(bench.reply, "\r\n\r\nevent"));
    close_bench(&bench);
}

static void test_wrong_response_mode(void)
{
    struct bench bench;
    open_bench(&bench);
    offer(&bench, "1");
    poll_and_deliver(&bench);
    CHECK_EQUAL(send_post(&bench, bench.invocation.id, "response",
                          "Lambda-Runtime-Function-Response-Mode: other\r\n" EMPTY),
                400);
    check_answer(&bench, "{\"errorMessage\":\"Invalid function response mode\",\"errorType\":"
                         "\"Runtime.InvalidResponseModeHeader\"}");
    close_bench(&bench);
}

static void test_endless_head(void)
{
    struct bench bench;
    char line[4097];
    memset(line, 'a', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    open_bench(&bench);
    CHECK_EQUAL(send_request(&bench, "GET / HTTP/1.1\r\na: "), 0);
    size_t sent = 0;
    for (; bench.exchange.state == DROP_LAMBDA_HEAD && sent < 2 * DROP_LAMBDA_HEAD_MAX;
         sent += sizeof line - 1)
        send_torn(&bench, &bench.exchange, line, sizeof line);
    CHECK(strncmp(bench.reply, "HTTP/1.1 431 ", 13) == 0);
    CHECK(sent > DROP_LAMBDA_HEAD_MAX - sizeof line);
    CHECK_EQUAL(bench.exchange.state, DROP_LAMBDA_DISCARD);
    CHECK_EQUAL(bench.exchange.in.length, 0);
    close_bench(&bench);
}

int main(void)
{
    RUN(test_one_invocation);
    RUN(test_error_of_a_handler);
    RUN(test_chunked_and_streamed);
    RUN(test_wrong_and_repeated_ids);
    RUN(test_two_answers_at_once);
    RUN(test_paths_and_methods);
    RUN(test_next_while_one_is_out);
    RUN(test_init_error);
    RUN(test_too_large);
    RUN(test_expect_continue);
    RUN(test_pipelined);
    RUN(test_connection_ends_in_a_response);
    RUN(test_connection_ends_in_an_event);
    RUN(test_wrong_response_mode);
    RUN(test_endless_head);
    return check_summary();
}
