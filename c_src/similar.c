/* Edit distance over the pools of the node, bounded so that wrong names cost the caller more than
 * the node. */
#include "similar.h"

#include <stdio.h>

#include "reactor.h"

#define SHOWN 3
#define COMPARED_MAX 256u /* pools looked at */
#define LENGTH_MAX 40u    /* of longer names only the beginning counts */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance of the beginnings, one row at a time. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t row[LENGTH_MAX + 1];
    a_length = least(a_length, LENGTH_MAX);
    b_length = least(b_length, LENGTH_MAX);
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

/* Keeps the nearest, sorted. */
static void consider(const struct drop_pool *pool, size_t far, const struct drop_pool **best,
                     size_t *distances)
{
    for (int i = 0; i < SHOWN; i++) {
        if (far >= distances[i])
            continue;
        for (int j = SHOWN - 1; j > i; j--) {
            best[j] = best[j - 1];
            distances[j] = distances[j - 1];
        }
        best[i] = pool;
        distances[i] = far;
        return;
    }
}

void drop_similar_names(const struct drop_reactor *reactor, const char *name, size_t length,
                        char *text, size_t size)
{
    const struct drop_pool *best[SHOWN] = {0};
    size_t distances[SHOWN];
    size_t compared = 0;
    size_t near = length / 2 + 1; /* farther names are no help */
    for (int i = 0; i < SHOWN; i++)
        distances[i] = near;
    for (uint32_t bucket = 0; bucket < DROP_POOL_BUCKETS && compared < COMPARED_MAX; bucket++)
        for (const struct drop_pool *pool = reactor->pools_by_id[bucket]; pool;
             pool = pool->next_by_id) {
            if (pool->options.name[0] == '$')
                continue;
            compared++;
            consider(pool,
                     distance(name, length, pool->options.name, pool->options.name_length), best,
                     distances);
        }
    int used = snprintf(text, size, "there is no pool %.*s on this node", (int)length, name);
    if (!best[0])
        snprintf(text + used, size - (size_t)used, "; `drop top --once` lists the pools it has");
    for (int i = 0; i < SHOWN && best[i]; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%.*s",
                         i ? ", " : "; similar names: ", (int)best[i]->options.name_length,
                         best[i]->options.name);
}
