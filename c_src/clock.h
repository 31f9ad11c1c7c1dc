/* The monotonic clock, in nanoseconds. Read once per turn and once per read(2), never per
 * message. */
#ifndef DROP_CLOCK_H
#define DROP_CLOCK_H

#include <stdint.h>
#include <time.h>

#define DROP_NEVER UINT64_MAX
#define DROP_NS_PER_MS UINT64_C(1000000)

static inline uint64_t drop_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

#endif
