/* The `line` framing of a worker's pipes, and its `ncm` convention.
 *
 * A message is one line. A payload with a newline cannot be carried; the pool either refuses it
 * or, with `newline: ncm`, each newline travels as TAB "ncm" TAB and comes back the same way.
 * Pure functions on the caller's memory. */
#ifndef DROP_LINE_H
#define DROP_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DROP_NCM "\tncm\t"
#define DROP_NCM_LENGTH 5u

static inline bool drop_line_fits(const char *payload, size_t length)
{
    return length == 0 || memchr(payload, '\n', length) == NULL;
}

/* Length of the payload with every newline as ncm. */
size_t drop_ncm_encoded_length(const char *payload, size_t length);
/* Writes that many bytes to `target`, which does not overlap. */
void drop_ncm_encode(char *target, const char *payload, size_t length);
/* Turns every ncm into a newline in place; returns the new length. */
size_t drop_ncm_decode(char *bytes, size_t length);

#endif
