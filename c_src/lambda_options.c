#include "lambda_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: drop-lambda [OPTION VALUE]... -- COMMAND [ARGUMENT]...\n"
    "Runs a program that speaks the AWS Lambda Runtime API; frames on stdin are its events,\n"
    "frames on stdout its responses.\n"
    "  --timeout-ms N    time for one invocation, as the program is told [30000]\n"
    "  --grace-ms N      time between SIGTERM and SIGKILL at the end [2000]\n"
    "  --memory-mib N    memory, as the program is told [128]\n"
    "  --payload-max N   bytes of an event or a response [67108864]\n"
    "  --ready TEXT      write this line to stdout when the program asks for its first event\n";

struct number {
    const char *name;
    uint32_t *value;
    unsigned long most;
};

static int complain(const char *text, const char *word)
{
    fprintf(stderr, "drop-lambda: %s%s\n%s", text, word, usage);
    return 3;
}

static int parse_number(const struct number *number, const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value == 0 || value > number->most) {
        fprintf(stderr, "drop-lambda: %s %s: expected a whole number from 1 to %lu\n",
                number->name, text, number->most);
        return 3;
    }
    *number->value = (uint32_t)value;
    return 0;
}

static int parse_option(struct drop_lambda_options *options, const char *name, const char *value)
{
    const struct number numbers[] = {
        {"--timeout-ms", &options->timeout_ms, 86400000},
        {"--grace-ms", &options->grace_ms, 3600000},
        {"--memory-mib", &options->memory_mib, 1048576},
        {"--payload-max", &options->payload_max, 1u << 30},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(name, numbers[i].name) == 0)
            return value ? parse_number(&numbers[i], value) : complain("no value for ", name);
    if (strcmp(name, "--ready") == 0 && value && *value && !strchr(value, '\n')) {
        options->ready = value;
        return 0;
    }
    return complain("not understood: ", name);
}

int drop_lambda_options_parse(struct drop_lambda_options *options, int count, char *const *words)
{
    *options = (struct drop_lambda_options){
        .timeout_ms = 30000, .grace_ms = 2000, .memory_mib = 128, .payload_max = 64u << 20};
    int at = 1;
    while (at < count && strcmp(words[at], "--") != 0) {
        if (strcmp(words[at], "--help") == 0) {
            fputs(usage, stdout);
            return 1;
        }
        int failed = parse_option(options, words[at], at + 1 < count ? words[at + 1] : NULL);
        if (failed)
            return failed;
        at += 2;
    }
    if (at + 1 >= count)
        return complain("no command behind --", "");
    options->argv = words + at + 1;
    return 0;
}
