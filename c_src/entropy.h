/* Random bytes from the kernel, without the C library's getrandom, which glibc has from 2.25 on.
 *
 * drop_entropy(bytes, size) fills at most 256 bytes and says whether it did; false, with errno set,
 * only on a kernel older than 3.17. It waits, at boot, until the kernel has gathered enough.
 */
#ifndef DROP_ENTROPY_H
#define DROP_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline bool drop_entropy(void *bytes, size_t size)
{
    return syscall(SYS_getrandom, bytes, size, 0u) == (long)size;
}

#endif
