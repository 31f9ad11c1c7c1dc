/* The closed set of outcomes of a message: docs/protocol.md section 3. */
#ifndef DROP_STATUS_H
#define DROP_STATUS_H

enum drop_status {
    DROP_OK = 0,
    DROP_ERROR = 1,
    DROP_TIMEOUT = 2,
    DROP_OVERLOADED = 3,
    DROP_NO_POOL = 4,
    DROP_NO_WORKER = 5,
    DROP_TOO_LARGE = 6,
    DROP_BAD_REQUEST = 7,
    DROP_DRAINING = 8,
    DROP_UNAUTHORIZED = 9,
    DROP_CANCELLED = 10,
    DROP_STATUS_COUNT = 11,
};

static inline const char *drop_status_name(enum drop_status status)
{
    static const char *const names[DROP_STATUS_COUNT] = {
        "ok", "error", "timeout", "overloaded", "no_pool", "no_worker",
        "too_large", "bad_request", "draining", "unauthorized", "cancelled",
    };
    return status < DROP_STATUS_COUNT ? names[status] : "unknown";
}

#endif
