/* What the kernel throws away for us under a flood: packets that are none of ours, by a look at
 * magic, version, length and key id. A packet dropped there costs neither a place in the queue nor
 * a copy nor a wake-up. Tags it cannot check. */
#ifndef DROP_HERALDFILTER_H
#define DROP_HERALDFILTER_H

#include "beacon.h"

/* 0 or an errno. Replaces a filter that is there. */
int drop_heraldfilter_attach(int fd, const struct drop_beacon_keys *keys);
void drop_heraldfilter_detach(int fd);

#endif
