/* Names that a caller may have meant: the text of no_pool. */
#ifndef DROP_SIMILAR_H
#define DROP_SIMILAR_H

#include <stddef.h>

struct drop_reactor;

/* Writes "there is no pool NAME; ..." with up to three pools whose names are near, or how to list
 * them. */
void drop_similar_names(const struct drop_reactor *reactor, const char *name, size_t length,
                        char *text, size_t size);

#endif
