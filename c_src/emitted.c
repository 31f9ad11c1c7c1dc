/* Kind stream: every line is an event for the subscribers, and no message is ever sent. */
#include "line.h"
#include "pass.h"

size_t drop_emitted_parse(struct drop_worker *worker, char *bytes, size_t length,
                          enum drop_pass *end)
{
    struct drop_pool *pool = worker->pool;
    size_t payload_max = worker->reactor->options.payload_max;
    struct drop_buffer *lender = worker->reactor->lender;
    size_t at = 0;
    size_t scanned = worker->scanned;
    worker->scanned = worker->needed = 0;
    while (at < length) {
        struct drop_answer answer;
        enum drop_found found =
            drop_find_line(worker, bytes + at, length - at, scanned, payload_max, &answer);
        if (found != DROP_FOUND) {
            if (found == DROP_TOO_LONG)
                *end = DROP_PASS_TOO_LONG;
            break;
        }
        if (!drop_pass_admit(pool, worker, &answer)) {
            *end = DROP_PASS_STOPPED;
            break;
        }
        if (pool->options.ncm)
            answer.length = (uint32_t)drop_ncm_decode(answer.bytes, answer.length);
        worker->answered++;
        pool->counters.answers++;
        pool->counters.bytes_out += answer.length;
        drop_pass_lend(worker, lender, at + answer.used == length);
        drop_events_emit(pool, ++worker->reactor->event_ids, answer.bytes, answer.length);
        at += answer.used;
        scanned = 0;
    }
    return at;
}
