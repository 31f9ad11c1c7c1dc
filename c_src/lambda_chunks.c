/* The chunked coding of a body (RFC 9112, section 7.1), one step at a time. */
#include <string.h>

#include "lambda_http.h"

enum state {
    SIZE,        /* the digits of a chunk's size, at least one */
    EXTENSION,   /* the rest of that line, which means nothing here */
    DATA,        /* `left` bytes */
    DATA_END,    /* CR LF, or LF */
    DATA_NEWLINE, /* LF */
    TRAILER,     /* field lines up to an empty one */
    OVER,
    BAD,
};

static int hexadecimal(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    char lower = (char)(character | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static void line_ends(struct drop_lambda_chunks *chunks)
{
    chunks->state = chunks->left ? DATA : TRAILER;
    chunks->line = 0;
}

static void take_size(struct drop_lambda_chunks *chunks, char byte)
{
    int digit = hexadecimal(byte);
    if (digit >= 0 && chunks->line < 15) {
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        chunks->line++;
    } else if (digit >= 0 || chunks->line == 0) {
        chunks->state = BAD;
    } else if (byte == '\n') {
        line_ends(chunks);
    } else {
        bool ends = byte == '\r' || byte == ';' || byte == ' ' || byte == '\t';
        chunks->state = ends ? EXTENSION : BAD;
    }
}

static void take_extension(struct drop_lambda_chunks *chunks, char byte)
{
    if (byte == '\n')
        line_ends(chunks);
    else if (++chunks->line > DROP_LAMBDA_CHUNK_LINE_MAX || byte == '\0')
        chunks->state = BAD;
}

static void take_data_end(struct drop_lambda_chunks *chunks, char byte)
{
    if (byte == '\n')
        chunks->state = SIZE;
    else
        chunks->state = byte == '\r' && chunks->state == DATA_END ? DATA_NEWLINE : BAD;
}

static enum drop_lambda_piece take(struct drop_lambda_slice *bytes, size_t length,
                                   struct drop_lambda_slice *piece, enum drop_lambda_piece kind)
{
    *piece = (struct drop_lambda_slice){bytes->at, length};
    bytes->at += length;
    bytes->length -= length;
    return kind;
}

static enum drop_lambda_piece take_data(struct drop_lambda_chunks *chunks,
                                        struct drop_lambda_slice *bytes,
                                        struct drop_lambda_slice *piece)
{
    size_t length = bytes->length < chunks->left ? bytes->length : (size_t)chunks->left;
    chunks->left -= length;
    if (chunks->left == 0)
        chunks->state = DATA_END;
    return take(bytes, length, piece, DROP_LAMBDA_DATA);
}

/* One line of the trailers, or what is there of it. `line` is 0 where a line begins. */
static enum drop_lambda_piece take_trailer(struct drop_lambda_chunks *chunks,
                                           struct drop_lambda_slice *bytes,
                                           struct drop_lambda_slice *piece)
{
    const char *newline = memchr(bytes->at, '\n', bytes->length);
    size_t length = newline ? (size_t)(newline - bytes->at) + 1 : bytes->length;
    size_t text = length - (newline != NULL);
    /* A CR alone may be the first half of an empty line: it is remembered as one byte. */
    bool empty = text == 0 ? chunks->line <= 1 : text == 1 && bytes->at[0] == '\r' && !chunks->line;
    if (newline && empty)
        chunks->state = OVER;
    if (newline)
        chunks->line = 0;
    else
        chunks->line = empty ? 1 : 2;
    return take(bytes, length, piece, DROP_LAMBDA_TRAILER);
}

enum drop_lambda_piece drop_lambda_chunks_next(struct drop_lambda_chunks *chunks,
                                               struct drop_lambda_slice *bytes,
                                               struct drop_lambda_slice *piece)
{
    while (chunks->state != OVER && chunks->state != BAD && bytes->length) {
        if (chunks->state == DATA)
            return take_data(chunks, bytes, piece);
        if (chunks->state == TRAILER)
            return take_trailer(chunks, bytes, piece);
        char byte = bytes->at[0];
        bytes->at++;
        bytes->length--;
        if (chunks->state == SIZE)
            take_size(chunks, byte);
        else if (chunks->state == EXTENSION)
            take_extension(chunks, byte);
        else
            take_data_end(chunks, byte);
    }
    if (chunks->state == BAD)
        return DROP_LAMBDA_BAD;
    return chunks->state == OVER ? DROP_LAMBDA_END : DROP_LAMBDA_MORE;
}
