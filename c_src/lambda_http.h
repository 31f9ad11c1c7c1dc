/* HTTP/1.1 as the runtime of a Lambda function speaks it: heads of requests, and bodies in chunks.
 *
 * Pure: no I/O, no memory of its own. What is parsed borrows from the caller's bytes. Everything
 * here is fed by the user's program, so what is not plainly right is refused (RFC 9112); lenient in
 * one place only: a line may end in LF without CR. */
#ifndef DROP_LAMBDA_HTTP_H
#define DROP_LAMBDA_HTTP_H

#include "lambda_bytes.h"

/* bytes of a head, or of the trailers: the Python runtime sends the cause of an error in a header
 * of up to 1 MiB */
#define DROP_LAMBDA_HEAD_MAX ((1u << 20) + (64u << 10))
/* fields of a head */
#define DROP_LAMBDA_FIELDS_MAX 128u
/* bytes of the line that begins a chunk: 16 digits and extensions that nobody uses */
#define DROP_LAMBDA_CHUNK_LINE_MAX 256u

enum drop_lambda_method { DROP_LAMBDA_GET, DROP_LAMBDA_POST, DROP_LAMBDA_OTHER };

struct drop_lambda_head {
    enum drop_lambda_method method;
    struct drop_lambda_slice path; /* without the query */
    bool keep_alive;
    bool expects_continue;
    bool chunked;
    uint64_t content_length; /* 0 without one; whether there was one makes no difference */
    struct drop_lambda_slice error_type;    /* Lambda-Runtime-Function-Error-Type */
    struct drop_lambda_slice response_mode; /* Lambda-Runtime-Function-Response-Mode */
};

/* Empty lines in front of a request, which are to be skipped. */
size_t drop_lambda_head_skip(const char *bytes, size_t length);

/* Looks for the end of a head: the bytes up to and with its empty line, or 0 if that is not there
 * yet. `*scanned` (0 at first) is where the next look goes on, so a head that comes byte by byte
 * costs no more than one that comes at once. */
size_t drop_lambda_head_end(const char *bytes, size_t length, size_t *scanned);

/* Parses a whole head. 0, or the status that refuses it: 400, 417, 431, 501, 505. */
int drop_lambda_head_parse(const char *bytes, size_t length, struct drop_lambda_head *head);

/* What the trailers of a streamed response say about an error. */
struct drop_lambda_trailers {
    struct drop_lambda_slice error_type;
    struct drop_lambda_slice error_body; /* base64 */
};

/* Parses the field lines behind the last chunk. 0 or 400, 431. */
int drop_lambda_trailers_parse(const char *bytes, size_t length,
                               struct drop_lambda_trailers *trailers);

enum drop_lambda_piece {
    DROP_LAMBDA_MORE,    /* all bytes are consumed and the body goes on */
    DROP_LAMBDA_DATA,    /* a piece of the body */
    DROP_LAMBDA_TRAILER, /* a piece of the field lines behind the last chunk */
    DROP_LAMBDA_END,     /* the body is over; what was not consumed is the next request */
    DROP_LAMBDA_BAD,     /* not chunked coding; stays so */
};

/* Zeroed is the beginning of a body. */
struct drop_lambda_chunks {
    int state;
    uint32_t line; /* bytes of the current line */
    uint64_t left; /* bytes of the chunk */
};

/* Takes the next step: advances `*bytes` over what it consumed; `piece` borrows from them. */
enum drop_lambda_piece drop_lambda_chunks_next(struct drop_lambda_chunks *chunks,
                                               struct drop_lambda_slice *bytes,
                                               struct drop_lambda_slice *piece);

/* Whether a slice is `text`, letters compared without case. */
bool drop_lambda_slice_is(struct drop_lambda_slice slice, const char *text);

#endif
