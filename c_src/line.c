/* ncm both ways; see line.h. */
#define _GNU_SOURCE
#include "line.h"

size_t drop_ncm_encoded_length(const char *payload, size_t length)
{
    size_t encoded = length;
    const char *end = payload + length;
    while (payload < end && (payload = memchr(payload, '\n', (size_t)(end - payload)))) {
        encoded += DROP_NCM_LENGTH - 1;
        payload++;
    }
    return encoded;
}

void drop_ncm_encode(char *target, const char *payload, size_t length)
{
    const char *end = payload + length;
    while (payload < end) {
        const char *newline = memchr(payload, '\n', (size_t)(end - payload));
        size_t run = (size_t)((newline ? newline : end) - payload);
        memcpy(target, payload, run);
        target += run;
        payload += run;
        if (newline) {
            memcpy(target, DROP_NCM, DROP_NCM_LENGTH);
            target += DROP_NCM_LENGTH;
            payload++;
        }
    }
}

size_t drop_ncm_decode(char *bytes, size_t length)
{
    char *from = bytes;
    char *to = bytes;
    char *end = bytes + length;
    while (from < end) {
        char *found = memmem(from, (size_t)(end - from), DROP_NCM, DROP_NCM_LENGTH);
        size_t run = (size_t)((found ? found : end) - from);
        memmove(to, from, run);
        to += run;
        from += run;
        if (found) {
            *to++ = '\n';
            from += DROP_NCM_LENGTH;
        }
    }
    return (size_t)(to - bytes);
}
