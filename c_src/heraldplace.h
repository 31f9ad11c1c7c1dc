/* Addresses of sockets: their length, their order, and those that a beacon names. */
#ifndef DROP_HERALDPLACE_H
#define DROP_HERALDPLACE_H

#include <netinet/in.h>
#include <string.h>

#include "peers.h"

static inline socklen_t drop_place_length(const struct drop_place *place)
{
    return place->address.any.sa_family == AF_INET ? sizeof place->address.v4
                                                   : sizeof place->address.v6;
}

/* An order by family, address, port and scope; for qsort and bsearch. */
static inline int drop_place_compare(const void *left, const void *right)
{
    const struct drop_place *a = left, *b = right;
    if (a->address.any.sa_family != b->address.any.sa_family)
        return a->address.any.sa_family < b->address.any.sa_family ? -1 : 1;
    if (a->address.any.sa_family == AF_INET) {
        int order = memcmp(&a->address.v4.sin_addr, &b->address.v4.sin_addr, 4);
        return order ? order : memcmp(&a->address.v4.sin_port, &b->address.v4.sin_port, 2);
    }
    int order = memcmp(&a->address.v6.sin6_addr, &b->address.v6.sin6_addr, 16);
    if (order == 0)
        order = memcmp(&a->address.v6.sin6_port, &b->address.v6.sin6_port, 2);
    return order ? order : memcmp(&a->address.v6.sin6_scope_id, &b->address.v6.sin6_scope_id, 4);
}

static inline uint16_t drop_place_port(const struct drop_place *place)
{
    return place->address.any.sa_family == AF_INET ? place->address.v4.sin_port
                                                   : place->address.v6.sin6_port;
}

/* An address of a beacon's text, at the port (and for link-local ones the interface) that its
 * packets come from. Returns the bytes that it takes. */
static inline size_t drop_place_from_text(struct drop_place *place, const uint8_t *text,
                                          const struct drop_place *source)
{
    memset(place, 0, sizeof *place);
    place->socket = UINT16_MAX;
    if (text[0] == 4) {
        place->address.v4.sin_family = AF_INET;
        place->address.v4.sin_port = drop_place_port(source);
        memcpy(&place->address.v4.sin_addr, text + 1, 4);
        return 5;
    }
    place->address.v6.sin6_family = AF_INET6;
    place->address.v6.sin6_port = drop_place_port(source);
    memcpy(&place->address.v6.sin6_addr, text + 1, 16);
    if (source->address.any.sa_family == AF_INET6 &&
        IN6_IS_ADDR_LINKLOCAL(&place->address.v6.sin6_addr))
        place->address.v6.sin6_scope_id = source->address.v6.sin6_scope_id;
    return 17;
}

#endif
