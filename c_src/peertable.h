/* Storage of peers.h: entries in one block, an index by node id, and the list of those with news.
 * Only peers.c looks into this. */
#ifndef DROP_PEERTABLE_H
#define DROP_PEERTABLE_H

#include "peers.h"

/* 0 or ENOMEM. */
int drop_peertable_open(struct drop_peers *peers, uint32_t capacity);
void drop_peertable_close(struct drop_peers *peers);

/* An empty entry for an id that has none. When the table is full the oldest unverified entry makes
 * room, else the one that has left for longest; NULL: there is neither. */
struct drop_peer *drop_peertable_add(struct drop_peers *peers, const uint8_t *node_id,
                                     uint64_t now);

/* Puts an entry at the end of the list of those with news, unless it is in it. */
void drop_peertable_queue(struct drop_peers *peers, struct drop_peer *peer);
/* Takes the first one out. */
void drop_peertable_unqueue(struct drop_peers *peers);

#endif
