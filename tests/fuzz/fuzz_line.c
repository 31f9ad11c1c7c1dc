/* Any payload through ncm, and any bytes as a frame of a worker's pipe: what is encoded is one line
 * and comes back; what is decoded never grows, and a second time changes nothing. */
#include <stdint.h>
#include <stdlib.h>

#include "length.h"
#include "line.h"

#define DEMAND(condition) ((condition) ? (void)0 : abort())

/* A payload that has a whole ncm of its own does not come back: the convention has no escape. */
static void check_round_trip(const char *payload, size_t length)
{
    size_t encoded = drop_ncm_encoded_length(payload, length);
    char *line = malloc(encoded);
    if (!line)
        return;
    drop_ncm_encode(line, payload, length);
    DEMAND(drop_line_fits(line, encoded));
    size_t decoded = drop_ncm_decode(line, encoded);
    bool plain = true;
    for (size_t i = 0; i + 1 < length; i++)
        plain = plain && payload[i] != '\t' && payload[i + 1] != '\t';
    if (plain && (length == 0 || (payload[0] != '\t' && payload[length - 1] != '\t')))
        DEMAND(decoded == length && memcmp(line, payload, length) == 0);
    free(line);
}

static void check_decode(const char *bytes, size_t length)
{
    char *copy = malloc(length);
    if (!copy)
        return;
    memcpy(copy, bytes, length);
    size_t decoded = drop_ncm_decode(copy, length);
    DEMAND(decoded <= length && (length - decoded) % (DROP_NCM_LENGTH - 1) == 0);
    DEMAND(drop_ncm_decode(copy, decoded) == decoded);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    check_round_trip(bytes, size);
    check_decode(bytes, size);
    uint64_t total = drop_length_total(bytes, size);
    DEMAND(size < DROP_LENGTH_PREFIX ? total == 0 : total >= DROP_LENGTH_PREFIX);
    return 0;
}
