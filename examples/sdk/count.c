/* count: how many bytes, words and lines a message has, as JSON. Text may come with newlines if the
 * flow says `kind: frame` or `newline: ncm`; the program is the same. */
#include "drop_function.h"

static int is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int count(void *context, const char *message, size_t length,
                 struct drop_function_answer *answer)
{
    size_t words = 0, lines = 0;
    (void)context;
    for (size_t i = 0; i < length; i++) {
        lines += message[i] == '\n';
        words += !is_space(message[i]) && (i == 0 || is_space(message[i - 1]));
    }
    drop_function_printf(answer, "{\"bytes\":%zu,\"words\":%zu,\"lines\":%zu}", length, words,
                         lines);
    return 0;
}

int main(void)
{
    return drop_function_run(count, NULL);
}
