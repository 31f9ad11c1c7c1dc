#include "lambda_route.h"

#include <string.h>

static const char prefix[] = "/2018-06-01/runtime/";
static const char invocation_prefix[] = "invocation/";

static const struct drop_lambda_refusal invalid_id = {
    .status = 400,
    .type = "InvalidRequestID",
    .text = "Invalid request ID",
};
static const struct drop_lambda_refusal invalid_mode = {
    .status = 400,
    .type = "InvalidFunctionResponseMode",
    .text = "Invalid function response mode",
    .answer = "Runtime.InvalidResponseModeHeader",
};
static const struct drop_lambda_refusal no_such_path = {
    .status = 404,
    .type = "InvalidPath",
    .text = "There is no such path",
};
static const struct drop_lambda_refusal wrong_method = {
    .status = 405,
    .type = "InvalidMethod",
    .text = "This path is not for this method",
};
static const struct drop_lambda_refusal invalid_next = {
    .status = 403,
    .type = "InvalidStateTransition",
    .text = "State transition failed for runtime: the last invocation has not been answered",
};
static const struct drop_lambda_refusal invalid_answer = {
    .status = 403,
    .type = "InvalidStateTransition",
    .text = "State transition failed for runtime: this invocation has been answered, or is being",
};
static const struct drop_lambda_refusal invalid_init = {
    .status = 403,
    .type = "InvalidStateTransition",
    .text = "State transition failed for runtime: it has asked for an invocation already",
};

struct drop_lambda_refusal drop_lambda_refusal_of(int status)
{
    struct drop_lambda_refusal refusal = {status, "InvalidRequest", NULL, NULL};
    switch (status) {
    case 413:
        refusal.type = "RequestEntityTooLarge";
        refusal.text = "Exceeded maximum allowed payload size.";
        break;
    case 417: refusal.text = "Expected no expectation but 100-continue"; break;
    case 431: refusal.text = "The header fields are too large or too many"; break;
    case 501: refusal.text = "Expected no transfer coding but chunked"; break;
    case 505: refusal.text = "Expected HTTP/1.1"; break;
    default: refusal.text = "The request is not well formed"; break;
    }
    return refusal;
}

static bool skip(struct drop_lambda_slice *path, const char *text)
{
    size_t length = strlen(text);
    if (path->length < length || memcmp(path->at, text, length) != 0)
        return false;
    path->at += length;
    path->length -= length;
    return true;
}

static bool is(struct drop_lambda_slice path, const char *text)
{
    return path.length == strlen(text) && memcmp(path.at, text, path.length) == 0;
}

static enum drop_lambda_route refused(struct drop_lambda_refusal *refusal,
                                      struct drop_lambda_refusal with)
{
    *refusal = with;
    return DROP_LAMBDA_REFUSED;
}

/* `path` is ID/response or ID/error. The id of the last invocation is known, and refused as one
 * that has been answered already. */
static enum drop_lambda_route answer_route(struct drop_lambda_slice path,
                                           const struct drop_lambda_head *head,
                                           const struct drop_lambda_invocation *invocation,
                                           struct drop_lambda_refusal *refusal)
{
    const char *slash = path.length ? memchr(path.at, '/', path.length) : NULL;
    struct drop_lambda_slice id = {path.at, slash ? (size_t)(slash - path.at) : 0}, tail = path;
    tail.at += id.length;
    tail.length -= id.length;
    bool response = is(tail, "/response");
    if (!response && !is(tail, "/error"))
        return refused(refusal, no_such_path);
    if (head->method != DROP_LAMBDA_POST)
        return refused(refusal, wrong_method);
    if (invocation->state == DROP_LAMBDA_NONE || invocation->state == DROP_LAMBDA_WAITING)
        return refused(refusal, is(id, invocation->answered_id) && id.length ? invalid_answer
                                                                             : invalid_id);
    if (!is(id, invocation->id))
        return refused(refusal, invalid_id);
    if (invocation->state != DROP_LAMBDA_RUNNING)
        return refused(refusal, invalid_answer);
    if (response && head->response_mode.length &&
        !drop_lambda_slice_is(head->response_mode, "streaming"))
        return refused(refusal, invalid_mode);
    return response ? DROP_LAMBDA_RESPONSE : DROP_LAMBDA_ERROR;
}

enum drop_lambda_route drop_lambda_route_of(const struct drop_lambda_head *head,
                                            const struct drop_lambda_invocation *invocation,
                                            struct drop_lambda_refusal *refusal)
{
    struct drop_lambda_slice path = head->path;
    if (!skip(&path, prefix))
        return refused(refusal, no_such_path);
    if (is(path, "invocation/next")) {
        if (head->method != DROP_LAMBDA_GET)
            return refused(refusal, wrong_method);
        bool busy = invocation->state >= DROP_LAMBDA_DELIVERING;
        return busy ? refused(refusal, invalid_next) : DROP_LAMBDA_NEXT;
    }
    if (is(path, "init/error")) {
        if (head->method != DROP_LAMBDA_POST)
            return refused(refusal, wrong_method);
        return invocation->started ? refused(refusal, invalid_init) : DROP_LAMBDA_INIT_ERROR;
    }
    if (skip(&path, invocation_prefix))
        return answer_route(path, head, invocation, refusal);
    return refused(refusal, no_such_path);
}
