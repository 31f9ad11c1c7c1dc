/* What a request of a runtime asks for, and whether it may: paths, methods and states.
 *
 * Pure. The statuses, types and texts are those that the service gives. */
#ifndef DROP_LAMBDA_ROUTE_H
#define DROP_LAMBDA_ROUTE_H

#include "lambda_exchange.h"

struct drop_lambda_refusal {
    int status; /* 0: none */
    const char *type;
    const char *text;
    const char *answer; /* the type of the error that the caller gets, for which nothing else is to
                           come; NULL: the runtime may try again */
};

/* The route of a request, or DROP_LAMBDA_REFUSED and why. */
enum drop_lambda_route drop_lambda_route_of(const struct drop_lambda_head *head,
                                            const struct drop_lambda_invocation *invocation,
                                            struct drop_lambda_refusal *refusal);

/* The type and text that go with a status alone. */
struct drop_lambda_refusal drop_lambda_refusal_of(int status);

#endif
