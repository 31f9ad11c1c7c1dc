/* A function in C: say what one message becomes; reading, order, batches and the end are here.
 *
 *     #include "drop_function.h"
 *
 *     static int echo(void *context, const char *message, size_t length,
 *                     struct drop_function_answer *answer)
 *     {
 *         drop_function_put(answer, message, length);
 *         return 0;
 *     }
 *
 *     int main(void) { return drop_function_run(echo, NULL); }
 *
 * One header for C99 or C++ on a POSIX system; nothing to link. Functions need none of this, see
 * docs/sdk.md. Kinds: `line`, `frame` and `async`, as DROP_KIND says, which the node sets (absent:
 * `line`). With DROP_NEWLINE=ncm, of `newline: ncm` in the flow, newlines come and go as newlines.
 * One read(2) takes the messages that wait and one write(2) gives their answers; when the handler
 * has been busy for a millisecond, answers wait no more. drop_function_run moves stdin and stdout
 * away and leaves /dev/null and stderr in their places: what the handler prints, or a child of it,
 * is no answer. SIGTERM is the end of stdin, behind what was read. Once per process. */
#ifndef DROP_FUNCTION_H
#define DROP_FUNCTION_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* of one message, and of one answer: the largest payload_max of a node; define it to have less */
#ifndef DROP_FUNCTION_BYTES_MAX
#define DROP_FUNCTION_BYTES_MAX ((size_t)1 << 30)
#endif
#define DROP_FUNCTION_BATCH ((size_t)1 << 16) /* bytes of a read and of a write: a pipe's */
#define DROP_FUNCTION_HOLD_US 1000 /* of handlers, after which answers wait no more */
#define DROP_FUNCTION_PREFIX ((size_t)4) /* the length in front of a frame */
#define DROP_FUNCTION_NCM "\tncm\t" /* what a newline travels as, where the flow says so */
#define DROP_FUNCTION_NCM_LENGTH (sizeof DROP_FUNCTION_NCM - 1)

/* bytes[from .. to) are in use. */
struct drop_function_buffer {
    char *bytes;
    size_t from, to, capacity;
};

/* Where a handler's answer goes: behind those that are not written yet. */
struct drop_function_answer {
    struct drop_function_buffer *out;
    size_t start; /* of this answer in `out` */
    int failed;   /* there was no room for all of it */
};

/* Appends the answer to a message and returns 0. Anything else: there is none, and the function
 * ends; drop_function_run returns 1 behind the answers to earlier messages. If the process ends
 * with it, the node says `error` for this message and gives later ones to others.
 * message[length] is '\0'; the message is gone when the handler returns. */
typedef int (*drop_function_handler)(void *context, const char *message, size_t length,
                                     struct drop_function_answer *answer);

/* Makes room for `more` bytes behind the used ones: where they go, or NULL. */
static inline char *drop_function_grow(struct drop_function_buffer *buffer, size_t more)
{
    size_t used = buffer->to - buffer->from;
    if (buffer->from && (!used || buffer->capacity - buffer->to < more)) {
        memmove(buffer->bytes, buffer->bytes + buffer->from, used);
        buffer->from = 0;
        buffer->to = used;
    }
    if (buffer->capacity - buffer->to < more) {
        size_t capacity = 2 * (buffer->to + more); /* what is not used costs no memory */
        char *bytes = (char *)realloc(buffer->bytes, capacity);
        if (!bytes)
            return NULL;
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    return buffer->bytes + buffer->to;
}

/* Appends `length` bytes for the handler to fill before it appends more. NULL if they are too many:
 * then the function will end. */
static inline char *drop_function_reserve(struct drop_function_answer *answer, size_t length)
{
    size_t used = answer->out->to - answer->start;
    char *room = NULL;
    if (!answer->failed && length <= DROP_FUNCTION_BYTES_MAX - used)
        room = drop_function_grow(answer->out, length + 1); /* for what ends a text or a line */
    if (room)
        answer->out->to += length;
    else
        answer->failed = 1;
    return room;
}

/* Appends bytes. If they are too many, the function will end. */
static inline void drop_function_put(struct drop_function_answer *answer, const void *bytes,
                                     size_t length)
{
    char *room = drop_function_reserve(answer, length);
    if (room && length)
        memcpy(room, bytes, length);
}

/* Appends text as printf makes it. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static inline void drop_function_printf(struct drop_function_answer *answer, const char *format,
                                        ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *room = length < 0 ? NULL : drop_function_reserve(answer, (size_t)length);
    answer->failed |= !room;
    va_start(arguments, format);
    if (room)
        vsnprintf(room, (size_t)length + 1, format, arguments);
    va_end(arguments);
}

enum drop_function_kind { DROP_FUNCTION_LINE, DROP_FUNCTION_FRAME, DROP_FUNCTION_ASYNC };

/* How a step went. */
enum drop_function_step { DROP_FUNCTION_ON, DROP_FUNCTION_FAULT, DROP_FUNCTION_NOBODY_READS };

struct drop_function_loop {
    drop_function_handler handler;
    void *context;
    enum drop_function_kind kind;
    int ncm;
    int output;
    struct drop_function_buffer in, out;
    size_t scanned;         /* bytes of `in` without a newline */
    struct timeval written; /* the last time, or when the read messages came */
};

static inline enum drop_function_step drop_function_fault(const char *what)
{
    fprintf(stderr, "drop_function: %s\n", what);
    return DROP_FUNCTION_FAULT;
}

static inline enum drop_function_step drop_function_flush(struct drop_function_loop *loop)
{
    struct drop_function_buffer *out = &loop->out;
    while (out->from < out->to) {
        ssize_t count = write(loop->output, out->bytes + out->from, out->to - out->from);
        if (count < 0 && errno != EINTR)
            return errno == EPIPE ? DROP_FUNCTION_NOBODY_READS
                                  : drop_function_fault("stdout cannot be written");
        if (count > 0)
            out->from += (size_t)count;
    }
    out->from = out->to = 0;
    gettimeofday(&loop->written, NULL);
    return DROP_FUNCTION_ON;
}

/* Writes when there is much, or when it took long (or the clock was set back). */
static inline enum drop_function_step drop_function_flush_old(struct drop_function_loop *loop)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    long long waited_us = (long long)(now.tv_sec - loop->written.tv_sec) * 1000000
                          + (now.tv_usec - loop->written.tv_usec);
    int young = waited_us >= 0 && waited_us <= DROP_FUNCTION_HOLD_US;
    return young && loop->out.to < DROP_FUNCTION_BATCH ? DROP_FUNCTION_ON
                                                       : drop_function_flush(loop);
}

/* Turns what newlines travel as into newlines, in place; returns the new length. */
static inline size_t drop_function_decode(char *bytes, size_t length)
{
    size_t to = 0;
    for (size_t from = 0; from < length; to++) {
        if (bytes[from] == '\t' && length - from >= DROP_FUNCTION_NCM_LENGTH
            && !memcmp(bytes + from, DROP_FUNCTION_NCM, DROP_FUNCTION_NCM_LENGTH)) {
            bytes[to] = '\n';
            from += DROP_FUNCTION_NCM_LENGTH;
        } else {
            bytes[to] = bytes[from++];
        }
    }
    return to;
}

/* The other way, in the answer. */
static inline void drop_function_encode(struct drop_function_answer *answer)
{
    struct drop_function_buffer *out = answer->out;
    size_t newlines = 0, from = out->to;
    for (size_t i = answer->start; i < out->to; i++)
        newlines += out->bytes[i] == '\n';
    if (!drop_function_reserve(answer, newlines * (DROP_FUNCTION_NCM_LENGTH - 1)))
        return;
    for (size_t to = out->to; to > from;) {
        char byte = out->bytes[--from];
        if (byte == '\n') {
            to -= DROP_FUNCTION_NCM_LENGTH;
            memcpy(out->bytes + to, DROP_FUNCTION_NCM, DROP_FUNCTION_NCM_LENGTH);
        } else {
            out->bytes[--to] = byte;
        }
    }
}

/* Completes the framing around a handler's answer. */
static inline enum drop_function_step drop_function_seal(struct drop_function_loop *loop,
                                                         struct drop_function_answer *answer)
{
    struct drop_function_buffer *out = answer->out;
    size_t length = out->to - answer->start;
    if (loop->kind != DROP_FUNCTION_FRAME && memchr(out->bytes + answer->start, '\n', length)) {
        if (!loop->ncm)
            return drop_function_fault("the answer has a newline; use kind: frame, or newline: "
                                       "ncm in the flow");
        drop_function_encode(answer);
    }
    if (answer->failed)
        return drop_function_fault("the answer is too large, or there is no memory for it");
    if (loop->kind != DROP_FUNCTION_FRAME)
        out->bytes[out->to++] = '\n'; /* reserve leaves room for it */
    else
        for (size_t i = 1; i <= DROP_FUNCTION_PREFIX; i++, length >>= 8)
            out->bytes[answer->start - i] = (char)(unsigned char)(length & 0xff);
    return DROP_FUNCTION_ON;
}

/* Handles a message without its framing. Its answer goes to `out` whole, or not at all. */
static inline enum drop_function_step drop_function_answer_one(struct drop_function_loop *loop,
                                                               char *message, size_t length)
{
    size_t begin = loop->out.to, head = 0;
    struct drop_function_answer answer = {&loop->out, begin, 0};
    size_t prefix = loop->kind == DROP_FUNCTION_FRAME ? DROP_FUNCTION_PREFIX : 0;
    if (!drop_function_reserve(&answer, prefix))
        return drop_function_fault("no memory for an answer");
    if (loop->kind == DROP_FUNCTION_ASYNC) {
        while (head + 2 <= length && (message[head] != ':' || message[head + 1] != ':'))
            head++;
        if (head + 2 > length)
            return drop_function_fault("a message of kind async without TOKEN::");
        head += 2;
        drop_function_put(&answer, message, head);
    }
    answer.start = loop->out.to;
    message += head;
    length -= head;
    if (loop->ncm)
        length = drop_function_decode(message, length);
    char behind = message[length];
    message[length] = '\0';
    int none = loop->handler(loop->context, message, length, &answer);
    message[length] = behind;
    enum drop_function_step step = none ? drop_function_fault("the handler has no answer")
                                        : drop_function_seal(loop, &answer);
    if (step != DROP_FUNCTION_ON)
        loop->out.to = begin;
    return step;
}

/* Finds the next whole message in `in`: how many bytes it has with its framing, or 0. */
static inline size_t drop_function_next(struct drop_function_loop *loop, char **message,
                                        size_t *length)
{
    struct drop_function_buffer *in = &loop->in;
    size_t held = in->to - in->from;
    char *bytes = in->bytes + in->from;
    *message = bytes;
    if (loop->kind != DROP_FUNCTION_FRAME) {
        char *newline = (char *)memchr(bytes + loop->scanned, '\n', held - loop->scanned);
        *length = newline ? (size_t)(newline - bytes) : held;
        loop->scanned = newline ? 0 : held;
        return newline ? *length + 1 : 0;
    }
    *length = 0;
    if (held < DROP_FUNCTION_PREFIX)
        return 0;
    for (size_t i = 0; i < DROP_FUNCTION_PREFIX; i++)
        *length = *length << 8 | (unsigned char)bytes[i];
    *message = bytes + DROP_FUNCTION_PREFIX;
    return held - DROP_FUNCTION_PREFIX < *length ? 0 : DROP_FUNCTION_PREFIX + *length;
}

static inline enum drop_function_step drop_function_answer_all(struct drop_function_loop *loop)
{
    enum drop_function_step step = DROP_FUNCTION_ON;
    char *message;
    size_t length, used;
    gettimeofday(&loop->written, NULL);
    while (step == DROP_FUNCTION_ON && (used = drop_function_next(loop, &message, &length))) {
        step = drop_function_answer_one(loop, message, length);
        loop->in.from += used;
        if (step == DROP_FUNCTION_ON)
            step = drop_function_flush_old(loop);
    }
    if (step == DROP_FUNCTION_ON && length > DROP_FUNCTION_BYTES_MAX)
        step = drop_function_fault("a message is larger than DROP_FUNCTION_BYTES_MAX");
    if (step == DROP_FUNCTION_FAULT)
        drop_function_flush(loop);
    return step == DROP_FUNCTION_ON ? drop_function_flush(loop) : step;
}

static inline enum drop_function_step drop_function_serve(struct drop_function_loop *loop,
                                                          int input)
{
    for (;;) {
        /* one more, for the '\0' behind a message */
        char *room = drop_function_grow(&loop->in, DROP_FUNCTION_BATCH + 1);
        if (!room)
            return drop_function_fault("no memory for a message");
        ssize_t count = read(input, room, DROP_FUNCTION_BATCH);
        if (count < 0 && errno != EINTR)
            return drop_function_fault("stdin cannot be read");
        if (count == 0)
            return loop->in.from == loop->in.to
                       ? DROP_FUNCTION_ON
                       : drop_function_fault("stdin ended inside a message, which is dropped");
        loop->in.to += count > 0 ? (size_t)count : 0;
        enum drop_function_step step = drop_function_answer_all(loop);
        if (step != DROP_FUNCTION_ON)
            return step;
    }
}

/* Where messages come from, and /dev/null. */
static inline volatile sig_atomic_t *drop_function_descriptors(void)
{
    static volatile sig_atomic_t descriptors[2];
    return descriptors;
}

/* On SIGTERM. A read(2) that waits is begun again and finds the end of the file, and so does one
 * that was about to begin, which no flag would stop. */
static inline void drop_function_terminate(int number)
{
    int saved = errno;
    (void)number;
    dup2((int)drop_function_descriptors()[1], (int)drop_function_descriptors()[0]);
    errno = saved;
}

/* Says that messages may come: the line that the flow's key `ready` waits for. Before run. */
static inline void drop_function_ready(const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
}

/* The descriptor, out of reach of child processes. */
static inline int drop_function_private(int descriptor)
{
    return descriptor < 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) ? -1 : descriptor;
}

/* What the node says about the wire. */
static inline enum drop_function_step drop_function_set_up(struct drop_function_loop *loop)
{
    const char *kind = getenv("DROP_KIND"), *newline = getenv("DROP_NEWLINE");
    if (kind && !strcmp(kind, "frame"))
        loop->kind = DROP_FUNCTION_FRAME;
    else if (kind && !strcmp(kind, "async"))
        loop->kind = DROP_FUNCTION_ASYNC;
    else if (kind && *kind && strcmp(kind, "line"))
        return drop_function_fault("DROP_KIND is none of line, frame, async");
    loop->ncm = loop->kind != DROP_FUNCTION_FRAME && newline && !strcmp(newline, "ncm");
    return DROP_FUNCTION_ON;
}

/* Answers messages until stdin ends. Returns what main should: 0, or 1 with a reason on stderr. */
static inline int drop_function_run(drop_function_handler handler, void *context)
{
    struct drop_function_loop loop;
    memset(&loop, 0, sizeof loop); /* of kind line */
    loop.handler = handler;
    loop.context = context;
    if (drop_function_set_up(&loop) != DROP_FUNCTION_ON)
        return 1;
    int nothing = drop_function_private(open("/dev/null", O_RDONLY));
    int input = drop_function_private(dup(0));
    loop.output = drop_function_private(dup(1));
    if (nothing < 0 || input < 0 || loop.output < 0 || dup2(nothing, 0) < 0 || dup2(2, 1) < 0)
        return !!drop_function_fault("stdin, stdout, stderr or /dev/null is not there");
    drop_function_descriptors()[0] = input;
    drop_function_descriptors()[1] = nothing;
    signal(SIGTERM, drop_function_terminate);
    enum drop_function_step step = drop_function_serve(&loop, input);
    signal(SIGTERM, SIG_DFL);
    free(loop.in.bytes);
    free(loop.out.bytes);
    return step == DROP_FUNCTION_FAULT;
}

#endif
