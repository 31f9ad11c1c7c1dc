#define _GNU_SOURCE
#include "lambda_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 2048u

void drop_lambda_log(const char *format, ...)
{
    char line[LOG_LINE_MAX] = "drop-lambda: ";
    size_t start = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + start, sizeof line - start - 1, format, arguments);
    va_end(arguments);
    size_t end = start + (length < 0 ? 0 : (size_t)length);
    if (end > sizeof line - 2)
        end = sizeof line - 2;
    line[end] = '\n';
    ssize_t written = write(STDERR_FILENO, line, end + 1);
    (void)written; /* without a stderr there is nobody to tell */
}

static const char *value_of(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* The name of the function: from the flow, or the pool's, or the program's. */
static const char *name_of(const struct drop_lambda_function *function)
{
    const char *slash = strrchr(function->argv[0], '/');
    const char *program = slash ? slash + 1 : function->argv[0];
    return value_of("AWS_LAMBDA_FUNCTION_NAME", value_of("DROP_POOL", program));
}

/* The handler where the flow names none: the last argument, as `python -m awslambdaric app.handler`
 * and the images of AWS have it. */
static const char *handler_of(const struct drop_lambda_function *function)
{
    size_t count = 0;
    while (function->argv[count])
        count++;
    return count > 1 ? function->argv[count - 1] : "function.handler";
}

struct variable {
    const char *name;
    const char *value;
};

static int set_defaults(const struct variable *variables)
{
    for (; variables->name; variables++)
        if (setenv(variables->name, variables->value, 0) != 0)
            return errno;
    return 0;
}

static int set_names(const struct drop_lambda_function *function, const char *name)
{
    char group[512], stream[128], memory[16], day[16] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(day, sizeof day, "%Y/%m/%d", &utc);
    snprintf(group, sizeof group, "/aws/lambda/%s", name);
    snprintf(stream, sizeof stream, "%s/[$LATEST]%s-%d", day, value_of("DROP_WORKER", "0"),
             (int)getpid());
    snprintf(memory, sizeof memory, "%u", function->memory_mib);
    const struct variable variables[] = {
        {"AWS_LAMBDA_FUNCTION_NAME", name},
        {"AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"},
        {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory},
        {"AWS_LAMBDA_LOG_GROUP_NAME", group},
        {"AWS_LAMBDA_LOG_STREAM_NAME", stream},
        {"AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"},
        {"_HANDLER", handler_of(function)},
        {NULL, NULL},
    };
    return set_defaults(variables);
}

static int set_places(const struct drop_lambda_function *function)
{
    char root[PATH_MAX], api[32];
    if (!getcwd(root, sizeof root))
        return errno;
    const struct variable variables[] = {
        {"LAMBDA_TASK_ROOT", root},
        {"LAMBDA_RUNTIME_DIR", root},
        {"AWS_REGION", value_of("AWS_DEFAULT_REGION", "us-east-1")},
        {"AWS_DEFAULT_REGION", value_of("AWS_REGION", "us-east-1")},
        {"AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"},
        {"TZ", ":UTC"},
        {NULL, NULL},
    };
    snprintf(api, sizeof api, "127.0.0.1:%u", function->port);
    if (setenv("AWS_LAMBDA_RUNTIME_API", api, 1) != 0)
        return errno;
    return set_defaults(variables);
}

int drop_lambda_function_open(struct drop_lambda_function *function)
{
    const char *name = name_of(function);
    if (asprintf(&function->arn, "arn:aws:lambda:%s:000000000000:function:%s",
                 value_of("AWS_REGION", "us-east-1"), name) < 0) {
        function->arn = NULL;
        return ENOMEM;
    }
    /* It becomes a header; names that come from a flow may hold anything. */
    for (char *at = function->arn; *at; at++)
        if ((unsigned char)*at < 0x21 || *at == 0x7f)
            *at = '_';
    int error = set_names(function, name);
    return error ? error : set_places(function);
}

void drop_lambda_function_close(struct drop_lambda_function *function)
{
    free(function->arn);
    function->arn = NULL;
}

/* In the child; returns only when something fails. */
static void become(const struct drop_lambda_function *function, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(126); /* it died before the line above */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return;
    execvp(function->argv[0], function->argv);
}

pid_t drop_lambda_runtime_start(const struct drop_lambda_function *function)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        become(function, parent);
        int error = errno;
        drop_lambda_log("cannot execute %s: %s", function->argv[0], strerror(error));
        _exit(error == ENOENT ? 127 : 126);
    }
    return pid;
}
