/* What a client sends: read, cut into frames, handled. Continues connection.h. */
#ifndef DROP_INPUT_H
#define DROP_INPUT_H

#include <sys/types.h>

#include "connection.h"

/* Reads once and handles what came: the count as recv(2) says it, -1 with errno. */
ssize_t drop_input_receive(struct drop_connection *connection);
/* Handles what was read before, where it is. */
void drop_input_parse(struct drop_connection *connection);

/* connection.c: whether the next frame may be handled; what a frame that is none leads to. */
bool drop_connection_may_parse(const struct drop_connection *connection);
void drop_connection_malformed(struct drop_connection *connection, const char *fault);

#endif
