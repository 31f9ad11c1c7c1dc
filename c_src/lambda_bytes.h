/* Bytes that grow up to a bound: what is read and written by drop-lambda. Plain malloc, for this is
 * a program of its own without a budget to share.
 *
 * Zeroed is valid and empty. A failed append leaves everything as it was. */
#ifndef DROP_LAMBDA_BYTES_H
#define DROP_LAMBDA_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct drop_lambda_bytes {
    char *at;
    size_t length;
    size_t room;
};

/* A borrowed piece of somebody's bytes. */
struct drop_lambda_slice {
    const char *at;
    size_t length;
};

/* Makes room for `more` bytes behind the length. False: out of memory. */
bool drop_lambda_bytes_reserve(struct drop_lambda_bytes *bytes, size_t more);
bool drop_lambda_bytes_append(struct drop_lambda_bytes *bytes, const void *from, size_t length);

/* printf to the end. False: out of memory. */
bool drop_lambda_bytes_print(struct drop_lambda_bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A text as the inside of a JSON string; what is no ASCII is taken as UTF-8 and kept. */
bool drop_lambda_bytes_escape(struct drop_lambda_bytes *bytes, struct drop_lambda_slice text);

/* Decodes base64 (RFC 4648, padding optional, no white space) to the end. False: it is none, or out
 * of memory; then nothing is appended. */
bool drop_lambda_bytes_decode(struct drop_lambda_bytes *bytes, struct drop_lambda_slice base64);

/* Takes the first `count` bytes away. */
void drop_lambda_bytes_consume(struct drop_lambda_bytes *bytes, size_t count);

void drop_lambda_bytes_close(struct drop_lambda_bytes *bytes);

#endif
