/* drop-lambda: a worker of the `frame` kind in front of a program that speaks the AWS Lambda
 * Runtime API. docs/lambda.md says what it does, for users; a tour of the code:
 *
 *     lambda_http, lambda_chunks      requests as bytes                             pure
 *     lambda_route                    what a request asks for, and whether it may   pure
 *     lambda_invocation               the one event under way, and its answer       pure
 *     lambda_exchange                 one connection: requests in, replies out      pure
 *     lambda_server, lambda_stdio     sockets and pipes
 *     lambda_peer, lambda_runtime     who connects; the user's program
 *     lambda                          the loop
 */
#ifndef DROP_LAMBDA_H
#define DROP_LAMBDA_H

/* The program; returns its exit code: 0 after the end of stdin or SIGTERM, otherwise that of the
 * runtime (128 + signal), or 1; 2 for a wrong command line. */
int drop_lambda_main(int count, char **words);

#endif
