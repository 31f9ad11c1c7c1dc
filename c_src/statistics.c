/* Figures to JSON. Every name is made of characters that need no escape (the node's name is
 * checked where it enters). */
#include "statistics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "exec.h"
#include "reactor.h"

#define PIECE_MAX 1024u /* bytes of one formatted piece */

struct writer {
    struct drop_buffer *json;
    struct drop_memory *memory;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format,
                                                      ...)
{
    char *place = drop_buffer_reserve(writer->json, writer->memory, PIECE_MAX);
    if (!place) {
        writer->failed = true;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(place, PIECE_MAX, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)PIECE_MAX)
        writer->failed = true;
    else
        drop_buffer_commit(writer->json, (size_t)length);
}

static void put_by_status(struct writer *writer, const char *name, const uint64_t *counters)
{
    const char *separator = "";
    put(writer, ",\"%s\":{", name);
    for (unsigned status = 1; status < DROP_STATUS_COUNT; status++) {
        if (!counters[status])
            continue;
        put(writer, "%s\"%s\":%" PRIu64, separator, drop_status_name(status), counters[status]);
        separator = ",";
    }
    put(writer, "}");
}

static void put_latency(struct writer *writer, const drop_histogram *latency)
{
    put(writer, ",\"latency_us\":{\"count\":%" PRIu64, drop_histogram_count(latency));
    put(writer, ",\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
        (double)drop_histogram_quantile(latency, 0.5) / 1000.0,
        (double)drop_histogram_quantile(latency, 0.99) / 1000.0,
        (double)drop_histogram_quantile(latency, 0.999) / 1000.0, (double)latency->max / 1000.0);
}

static void put_processes(struct writer *writer, const struct drop_exec *exec)
{
    put(writer, ",\"processes\":{\"ready\":%" PRIu32 ",\"starting\":%" PRIu32, exec->ready,
        exec->starting);
    put(writer, ",\"running\":%" PRIu32 ",\"started\":%" PRIu64 ",\"spare\":%" PRIu32 "}",
        exec->running, exec->started, exec->spares.target);
}

static void put_pool(struct writer *writer, const struct drop_pool *pool)
{
    static const char *const kinds[] = {"line", "frame", "async", "stream", "exec",
                                        "control"};
    const struct drop_pool_counters *counters = &pool->counters;
    put(writer, "{\"name\":\"%.*s\",\"kind\":\"%s\",\"workers\":%" PRIu32,
        (int)pool->options.name_length, pool->options.name, kinds[pool->options.kind],
        pool->worker_count);
    put(writer, ",\"waiting\":%" PRIu32 ",\"inflight\":%" PRIu32 ",\"queue\":%" PRIu32,
        pool->mailbox.count + pool->private_waiting, pool->inflight, pool->options.queue);
    put(writer, ",\"messages\":%" PRIu64 ",\"answers\":%" PRIu64 ",\"late\":%" PRIu64,
        counters->messages, counters->answers, counters->late);
    put(writer, ",\"events\":%" PRIu64 ",\"retried\":%" PRIu64 ",\"unasked\":%" PRIu64,
        counters->events, counters->retried, counters->unasked);
    put(writer, ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64, counters->bytes_in,
        counters->bytes_out);
    put(writer, ",\"draining\":%s,\"refusing\":%s", pool->draining ? "true" : "false",
        pool->refusal ? "true" : "false");
    if (pool->exec)
        put_processes(writer, pool->exec);
    put_by_status(writer, "errors", counters->failed);
    put_by_status(writer, "dropped", counters->dropped);
    put_latency(writer, &pool->latency);
    put(writer, "}");
}

static void put_node(struct writer *writer, const struct drop_reactor *reactor)
{
    const struct drop_reactor_counters *counters = &reactor->counters;
    put(writer, "\"node\":\"%s\",\"uptime_ms\":%" PRIu64, reactor->options.node_name,
        (reactor->now_ns - reactor->started_ns) / DROP_NS_PER_MS);
    put(writer, ",\"pending\":%" PRIu64 ",\"turns\":%" PRIu64 ",\"draining\":%s",
        reactor->pending, counters->turns, reactor->draining ? "true" : "false");
    put(writer, ",\"connections\":{\"open\":%" PRIu32 ",\"accepted\":%" PRIu64,
        reactor->connection_count, counters->accepted);
    put(writer, ",\"refused\":%" PRIu64 ",\"malformed\":%" PRIu64 ",\"cut_slow\":%" PRIu64,
        counters->refused_connections, counters->malformed, counters->cut_slow);
    put(writer, ",\"unauthorized\":%" PRIu64 "}", counters->unauthorized);
    put_by_status(writer, "refused", counters->refused);
    put(writer, ",\"memory\":{\"in_use\":%zu,\"cached\":%zu,\"limit\":%zu,\"refusals\":%" PRIu64
                "}",
        reactor->memory.in_use, reactor->memory.cached, reactor->memory.limit,
        reactor->memory.refusals);
}

int drop_statistics_write(struct drop_reactor *reactor, const struct drop_pool *pool,
                          struct drop_buffer *json)
{
    struct writer writer = {json, &reactor->memory, false};
    const char *separator = "";
    put(&writer, "{");
    put_node(&writer, reactor);
    put(&writer, ",\"pools\":[");
    if (pool)
        put_pool(&writer, pool);
    for (uint32_t bucket = 0; !pool && bucket < DROP_POOL_BUCKETS; bucket++)
        for (const struct drop_pool *each = reactor->pools_by_id[bucket]; each;
             each = each->next_by_id) {
            put(&writer, "%s", separator);
            put_pool(&writer, each);
            separator = ",";
        }
    put(&writer, "]}");
    return writer.failed ? -1 : 0;
}
