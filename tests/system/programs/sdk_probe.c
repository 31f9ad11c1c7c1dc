/* What a handler can do to the protocol, in C. It compiles as C99 and as C++. */
#include "drop_function.h"

static int is(const char *message, const char *word)
{
    return !strcmp(message, word);
}

static int handle(void *context, const char *message, size_t length,
                  struct drop_function_answer *answer)
{
    (void)context;
    if (is(message, "noise")) {
        printf("noise\n");
        fflush(stdout);
        if (system("echo noise"))
            return -1;
        drop_function_printf(answer, "%s", "quiet");
        return 0;
    }
    if (is(message, "hungry")) {
        drop_function_put(answer, "fed", 3);
        return system("cat");
    }
    if (is(message, "fail")) {
        drop_function_put(answer, "half of an", 10);
        return -1;
    }
    if (is(message, "newline")) {
        drop_function_put(answer, "a\nb", 3);
        return 0;
    }
    if (is(message, "term"))
        raise(SIGTERM);
    if (!strncmp(message, "big ", 4)) {
        size_t size = (size_t)strtoul(message + 4, NULL, 10);
        char *bytes = drop_function_reserve(answer, size);
        if (bytes)
            memset(bytes, 'x', size);
        return 0; /* what found no room is the header's to refuse */
    }
    drop_function_put(answer, "=", 1);
    drop_function_put(answer, message, length);
    return 0;
}

int main(void)
{
    if (getenv("SAY"))
        drop_function_ready(getenv("SAY"));
    return drop_function_run(handle, NULL);
}
