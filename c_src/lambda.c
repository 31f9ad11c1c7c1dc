#define _GNU_SOURCE
#include "lambda.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "entropy.h"
#include "lambda_options.h"
#include "lambda_runtime.h"
#include "lambda_server.h"
#include "lambda_stdio.h"

enum { POLL_SIGNALS, POLL_STDIN, POLL_STDOUT, POLL_SERVER };
#define POLLED (POLL_SERVER + DROP_LAMBDA_CONNECTIONS + 1)

/* bytes of an init error's report that are logged */
#define REPORT_LOGGED_MAX 1500

struct program {
    struct drop_lambda_options options;
    struct drop_lambda_function function;
    struct drop_lambda_invocation invocation;
    struct drop_lambda_server server;
    struct drop_lambda_stdio stdio;
    int signals;
    pid_t runtime; /* 0: it has ended */
    bool stopping;
    bool killed;
    int64_t deadline_ms; /* monotonic; of the stop */
    int exit_code;
};

static int64_t milliseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void begin_stop(struct program *program, int exit_code)
{
    if (program->stopping)
        return;
    program->stopping = true;
    program->exit_code = exit_code;
    program->deadline_ms = milliseconds(CLOCK_MONOTONIC) + program->options.grace_ms;
    if (program->runtime > 0)
        kill(program->runtime, SIGTERM);
}

static void runtime_ended(struct program *program, int status)
{
    program->runtime = 0;
    if (program->stopping) {
        program->deadline_ms = milliseconds(CLOCK_MONOTONIC) + program->options.grace_ms;
        return;
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (WIFEXITED(status))
        drop_lambda_log("%s ended with exit code %d", program->function.argv[0], code);
    else
        drop_lambda_log("%s was ended by signal %d (%s)", program->function.argv[0],
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
    begin_stop(program, code ? code : 1);
}

static void take_signals(struct program *program)
{
    struct signalfd_siginfo signal;
    while (read(program->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        int status;
        if (signal.ssi_signo != SIGCHLD)
            begin_stop(program, 0);
        else if (program->runtime > 0 && waitpid(program->runtime, &status, WNOHANG) > 0)
            runtime_ended(program, status);
    }
}

static void take_input(struct program *program)
{
    struct drop_lambda_invocation *invocation = &program->invocation;
    if (drop_lambda_stdio_read(&program->stdio, invocation)) {
        unsigned char random[DROP_LAMBDA_RANDOM];
        if (!drop_entropy(random, sizeof random))
            memset(random, 0, sizeof random); /* the ids are names, not secrets */
        drop_lambda_invocation_offer(invocation, (uint64_t)milliseconds(CLOCK_REALTIME), random);
        if (program->stdio.too_large)
            drop_lambda_invocation_fail(
                invocation, (struct drop_lambda_slice){"RequestEntityTooLarge", 21},
                "The event is larger than the payload limit.");
    }
    if (program->stdio.at_end)
        begin_stop(program, 0);
}

static void log_report(const struct program *program)
{
    struct drop_lambda_slice report = drop_lambda_server_report(&program->server);
    struct drop_lambda_bytes text = {0};
    if (report.length > REPORT_LOGGED_MAX)
        report.length = REPORT_LOGGED_MAX;
    if (drop_lambda_bytes_escape(&text, report))
        drop_lambda_log("the runtime could not initialize: %.*s", (int)text.length,
                        text.length ? text.at : "");
    drop_lambda_bytes_close(&text);
}

/* What follows from what the turn has brought. */
static void conclude(struct program *program)
{
    struct drop_lambda_invocation *invocation = &program->invocation;
    if (invocation->out_of_memory) {
        drop_lambda_log("out of memory");
        begin_stop(program, 1);
    }
    if (invocation->init_failed && !program->stopping) {
        log_report(program);
        begin_stop(program, 1);
    }
    if (invocation->started && program->options.ready) {
        if (!drop_lambda_bytes_print(&program->stdio.ready, "%s\n", program->options.ready))
            invocation->out_of_memory = true;
        program->options.ready = NULL;
    }
    if (invocation->failed) {
        drop_lambda_log("%s: the invocation failed", invocation->answered_id);
        invocation->failed = false;
    }
    drop_lambda_server_deliver(&program->server, invocation);
    if (!drop_lambda_stdio_write(&program->stdio, invocation)) {
        drop_lambda_log("nobody reads stdout any more");
        begin_stop(program, 1);
        drop_lambda_bytes_close(&invocation->answer);
        drop_lambda_bytes_close(&program->stdio.ready);
    }
}

static void prepare(const struct program *program, struct pollfd *polled)
{
    bool reads = !program->stopping && drop_lambda_invocation_is_free(&program->invocation);
    bool writes = drop_lambda_stdio_has_output(&program->stdio, &program->invocation);
    polled[POLL_SIGNALS] = (struct pollfd){.fd = program->signals, .events = POLLIN};
    polled[POLL_STDIN] = (struct pollfd){.fd = reads ? STDIN_FILENO : -1, .events = POLLIN};
    polled[POLL_STDOUT] = (struct pollfd){.fd = writes ? STDOUT_FILENO : -1, .events = POLLOUT};
    drop_lambda_server_poll(&program->server, polled + POLL_SERVER);
}

/* How long poll may wait; kills a runtime whose grace is over. */
static int patience(struct program *program)
{
    if (!program->stopping)
        return -1;
    int64_t left = program->deadline_ms - milliseconds(CLOCK_MONOTONIC);
    if (left <= 0 && program->runtime > 0 && !program->killed) {
        drop_lambda_log("%s did not end after SIGTERM; killing it", program->function.argv[0]);
        kill(program->runtime, SIGKILL);
        program->killed = true;
    }
    return program->killed && program->runtime > 0 ? -1 : left < 0 ? 0 : (int)left;
}

/* A runtime that answers and ends at once has left its answer in a socket: it is still taken. */
static bool is_over(const struct program *program)
{
    if (program->runtime > 0)
        return false;
    bool quiet = program->server.open == 0 &&
                 !drop_lambda_stdio_has_output(&program->stdio, &program->invocation);
    return quiet || milliseconds(CLOCK_MONOTONIC) >= program->deadline_ms;
}

static void run(struct program *program)
{
    struct pollfd polled[POLLED];
    while (!is_over(program)) {
        prepare(program, polled);
        if (poll(polled, POLLED, patience(program)) < 0 && errno != EINTR) {
            drop_lambda_log("poll: %s", strerror(errno));
            return;
        }
        drop_lambda_server_turn(&program->server, &program->invocation, polled + POLL_SERVER);
        if (polled[POLL_STDIN].revents)
            take_input(program);
        if (polled[POLL_SIGNALS].revents)
            take_signals(program);
        conclude(program);
    }
}

/* 0 or an errno; what could not be done is in `*step`. */
static int open_all(struct program *program, const char **step)
{
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGINT);
    *step = "listen on 127.0.0.1";
    int error = drop_lambda_server_open(&program->server);
    if (error)
        return error;
    *step = "watch signals";
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_SETMASK, &watched, NULL) != 0 ||
        (program->signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return errno;
    *step = "set up the environment";
    program->function.argv = program->options.argv;
    program->function.memory_mib = program->options.memory_mib;
    program->function.port = program->server.port;
    error = drop_lambda_function_open(&program->function);
    if (error)
        return error;
    *step = "start the runtime";
    program->runtime = drop_lambda_runtime_start(&program->function);
    return program->runtime < 0 ? errno : 0;
}

static int serve(struct program *program)
{
    const char *step;
    int error = open_all(program, &step);
    if (error) {
        drop_lambda_log("cannot %s: %s", step, strerror(error));
        return 1;
    }
    struct drop_lambda_invocation *invocation = &program->invocation;
    invocation->payload_max = program->options.payload_max;
    invocation->timeout_ms = program->options.timeout_ms;
    invocation->arn = program->function.arn;
    drop_lambda_stdio_open();
    run(program);
    if (invocation->state != DROP_LAMBDA_NONE)
        drop_lambda_log("%s: the invocation was not answered", invocation->id);
    return program->exit_code;
}

int drop_lambda_main(int count, char **words)
{
    struct program *program = calloc(1, sizeof *program);
    if (!program)
        return 1;
    int exit_code = drop_lambda_options_parse(&program->options, count, words) - 1;
    program->signals = -1;
    program->server.listener = -1;
    if (exit_code < 0) {
        exit_code = serve(program);
        drop_lambda_server_close(&program->server, &program->invocation);
        drop_lambda_invocation_close(&program->invocation);
        drop_lambda_bytes_close(&program->stdio.ready);
        drop_lambda_function_close(&program->function);
        if (program->signals >= 0)
            close(program->signals);
    }
    free(program);
    return exit_code;
}
