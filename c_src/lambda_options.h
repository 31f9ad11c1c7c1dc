/* The command line of drop-lambda. */
#ifndef DROP_LAMBDA_OPTIONS_H
#define DROP_LAMBDA_OPTIONS_H

#include <stdint.h>

struct drop_lambda_options {
    uint32_t timeout_ms;
    uint32_t grace_ms;
    uint32_t memory_mib;
    uint32_t payload_max;
    const char *ready; /* NULL: no such line */
    char *const *argv; /* of the runtime */
};

/* 0: go on. Otherwise the exit code plus 1; what was wrong, or the help, has been printed. */
int drop_lambda_options_parse(struct drop_lambda_options *options, int count, char *const *words);

#endif
