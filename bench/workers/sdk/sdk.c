/* The same function on the header. */
#include "drop_function.h"

static int echo(void *context, const char *message, size_t length,
                struct drop_function_answer *answer)
{
    (void)context;
    drop_function_put(answer, message, length);
    return 0;
}

int main(void)
{
    return drop_function_run(echo, NULL);
}
