/* Whose connection this is. TCP on 127.0.0.1 is open to every user of the machine, and the Runtime
 * API has no password: without this check anybody could take a function's events away. */
#ifndef DROP_LAMBDA_PEER_H
#define DROP_LAMBDA_PEER_H

#include <stdbool.h>

/* Whether the other end of an accepted IPv4 connection belongs to this process's user or to root.
 * Where the kernel does not tell (no inet_diag), everybody is let in. */
bool drop_lambda_peer_is_ours(int socket);

#endif
