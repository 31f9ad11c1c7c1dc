/* The user's program: a child process with the environment of a Lambda function.
 *
 * It stays in this process's group, so whoever signals the group reaches it and its children, and
 * it dies with this process. Its stdin is /dev/null, and its stdout is our stderr: what it prints
 * is log, never an answer. */
#ifndef DROP_LAMBDA_RUNTIME_H
#define DROP_LAMBDA_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the environment of the runtime says. */
struct drop_lambda_function {
    char *const *argv; /* NULL-terminated, at least the program */
    uint16_t port;
    uint32_t memory_mib;
    char *arn; /* set by drop_lambda_function_open, freed by close */
};

/* Puts into this process's environment what a runtime expects there; what is there already, from
 * the flow, is kept, but for AWS_LAMBDA_RUNTIME_API. 0 or an errno. */
int drop_lambda_function_open(struct drop_lambda_function *function);
void drop_lambda_function_close(struct drop_lambda_function *function);

/* Starts it; its pid, or -1 with errno. A program that cannot be executed says so on stderr and
 * ends with 127 or 126, as in a shell. */
pid_t drop_lambda_runtime_start(const struct drop_lambda_function *function);

/* One line on stderr. */
void drop_lambda_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
