/* A `line` function in C as anyone would write it: a line, an answer, a flush. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        fputs(line, stdout);
        fflush(stdout);
    }
    free(line);
    return 0;
}
