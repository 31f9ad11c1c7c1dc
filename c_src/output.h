/* What a client gets: frames are collected in a connection's output and leave once per turn.
 * Continues connection.h. */
#ifndef DROP_OUTPUT_H
#define DROP_OUTPUT_H

#include "connection.h"

/* Queues a frame. */
void drop_output_frame(struct drop_connection *connection, enum drop_frame_type type,
                       uint8_t flags, uint8_t code, uint64_t id, const void *body, size_t length);

/* Frees what was queued. */
void drop_output_release(struct drop_connection *connection);
/* Cuts a client that has read nothing for slow_client_ms. */
void drop_output_check_progress(struct drop_connection *connection, uint64_t now_ns);

/* connection.c: epoll hears what the state wants; the resumed list of the turn. */
void drop_connection_update(struct drop_connection *connection);
void drop_connection_go_on_later(struct drop_connection *connection);

#endif
