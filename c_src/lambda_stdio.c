#define _GNU_SOURCE
#include "lambda_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "length.h"

/* bytes read at once of a frame that is thrown away */
#define DISCARD_SIZE 4096u

void drop_lambda_stdio_open(void)
{
    struct stat status;
    if (fstat(STDOUT_FILENO, &status) == 0 &&
        (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)))
        fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
}

/* The bytes read, 0 for none; notes the end. */
static size_t read_some(struct drop_lambda_stdio *stdio, char *into, size_t size)
{
    ssize_t count = read(STDIN_FILENO, into, size);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        stdio->at_end = true;
    return count > 0 ? (size_t)count : 0;
}

static void read_prefix(struct drop_lambda_stdio *stdio, struct drop_lambda_invocation *invocation)
{
    stdio->prefix_length += read_some(stdio, stdio->prefix + stdio->prefix_length,
                                      DROP_LAMBDA_PREFIX - stdio->prefix_length);
    if (stdio->prefix_length < DROP_LAMBDA_PREFIX)
        return;
    stdio->left = drop_get_u32(stdio->prefix);
    stdio->too_large = stdio->left > invocation->payload_max;
    if (!stdio->too_large &&
        !drop_lambda_bytes_reserve(&invocation->event, (size_t)stdio->left))
        invocation->out_of_memory = true;
}

static void read_rest(struct drop_lambda_stdio *stdio, struct drop_lambda_invocation *invocation)
{
    char thrown_away[DISCARD_SIZE];
    struct drop_lambda_bytes *event = &invocation->event;
    if (stdio->too_large) {
        size_t size = stdio->left < DISCARD_SIZE ? (size_t)stdio->left : DISCARD_SIZE;
        stdio->left -= read_some(stdio, thrown_away, size);
    } else {
        size_t count = read_some(stdio, event->at + event->length, (size_t)stdio->left);
        event->length += count;
        stdio->left -= count;
    }
}

bool drop_lambda_stdio_read(struct drop_lambda_stdio *stdio,
                            struct drop_lambda_invocation *invocation)
{
    if (stdio->prefix_length < DROP_LAMBDA_PREFIX)
        read_prefix(stdio, invocation);
    else
        read_rest(stdio, invocation);
    if (invocation->out_of_memory || stdio->prefix_length < DROP_LAMBDA_PREFIX || stdio->left)
        return false;
    stdio->prefix_length = 0;
    return true;
}

bool drop_lambda_stdio_write(struct drop_lambda_stdio *stdio,
                             struct drop_lambda_invocation *invocation)
{
    struct drop_lambda_bytes *answer = &invocation->answer;
    while (drop_lambda_stdio_has_output(stdio, invocation)) {
        struct drop_lambda_bytes *ready = &stdio->ready;
        const char *from = ready->length ? ready->at : answer->at + stdio->written;
        size_t length = ready->length ? ready->length : answer->length - stdio->written;
        ssize_t count = write(STDOUT_FILENO, from, length);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        if (ready->length) {
            drop_lambda_bytes_consume(ready, (size_t)count);
        } else if ((stdio->written += (size_t)count) == answer->length) {
            stdio->written = 0;
            drop_lambda_bytes_close(answer);
        }
    }
    return true;
}
