/* The `line` function of echo.c that says a line on stderr for each answer, all of a batch with one
 * write. With an argument it says them into the file of that name instead. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY (1u << 17) /* two pipes full; the longest line */
#define SAID "answered one more message, and all is well here\n"

static int put(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t written = write(fd, bytes, length);
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/* As many lines as there are newlines in the bytes; half of what fits at a time. */
static int say(const char *bytes, size_t length)
{
    static char text[CAPACITY];
    size_t said = 0;
    for (const char *end = bytes + length; bytes < end; bytes++) {
        bytes = memchr(bytes, '\n', (size_t)(end - bytes));
        if (!bytes)
            break;
        memcpy(text + said, SAID, sizeof SAID - 1);
        said += sizeof SAID - 1;
        if (said > CAPACITY / 2) {
            if (put(STDERR_FILENO, text, said))
                return -1;
            said = 0;
        }
    }
    return put(STDERR_FILENO, text, said);
}

int main(int count, char **arguments)
{
    static char buffer[CAPACITY];
    size_t held = 0;
    if (count > 1 && dup2(open(arguments[1], O_WRONLY), STDERR_FILENO) < 0)
        return 2;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, buffer + held, sizeof buffer - held);
        if (got <= 0)
            return 0;
        held += (size_t)got;
        const char *newline = memrchr(buffer, '\n', held);
        size_t whole = newline ? (size_t)(newline + 1 - buffer) : 0;
        if (say(buffer, whole) || put(STDOUT_FILENO, buffer, whole))
            return 1;
        memmove(buffer, buffer + whole, held - whole);
        held -= whole;
    }
}
