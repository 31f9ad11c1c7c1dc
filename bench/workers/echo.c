/* The quickest `line` function there is: reads what is there, answers all complete lines with one
 * write. What goes out is what came in, so it needs no second buffer. Used where the yardsticks,
 * which bring the same function, are absent, and by the micro benchmarks. */
#include <string.h>
#include <unistd.h>

#define CAPACITY (1u << 17) /* two pipes full; the longest line */

static int put(const char *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

int main(void)
{
    static char buffer[CAPACITY];
    size_t held = 0;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, buffer + held, sizeof buffer - held);
        if (got <= 0)
            return 0;
        held += (size_t)got;
        const char *newline = memrchr(buffer, '\n', held);
        size_t whole = newline ? (size_t)(newline + 1 - buffer) : 0;
        if (put(buffer, whole))
            return 1;
        memmove(buffer, buffer + whole, held - whole);
        held -= whole;
    }
}
