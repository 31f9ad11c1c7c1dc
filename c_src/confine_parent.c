/* What children enter or put on, made beforehand by the parent; see confine.h. */
#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#endif

/* As in linux/landlock.h, which older systems lack. */
#define LANDLOCK_ASK_VERSION 1u
#define LANDLOCK_BENEATH 1
#define WRITE_FILE (1ull << 1)
#define REMOVE_AND_MAKE (0x1ffull << 4) /* nine rights: remove, make each kind of file */
#define REFER (1ull << 13)              /* version 2 */
#define TRUNCATE (1ull << 14)           /* version 3 */

struct ruleset_attributes {
    uint64_t handled_file_system;
};

struct beneath_attributes {
    uint64_t allowed;
    int parent;
} __attribute__((packed));

static int bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

struct network {
    int fd;
    int error;
};

/* In a thread of its own, which takes the namespace that it leaves behind with it. */
static void *make_network(void *argument)
{
    struct network *network = argument;
    if (unshare(CLONE_NEWNET) == 0 && bring_loopback_up() == 0)
        network->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    network->error = errno;
    return NULL;
}

int drop_confine_network_create(void)
{
    struct network network = {.fd = -1};
    pthread_t thread;
    int error = pthread_create(&thread, NULL, make_network, &network);
    if (error == 0) {
        pthread_join(thread, NULL);
        error = network.error;
    }
    errno = error;
    return network.fd;
}

static int allow(int ruleset, const char *path, uint64_t rights)
{
    const uint64_t of_files = WRITE_FILE | TRUNCATE;
    struct stat status;
    struct beneath_attributes rule = {.parent = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent < 0)
        return -1;
    int result = fstat(rule.parent, &status);
    if (result == 0) {
        rule.allowed = S_ISDIR(status.st_mode) ? rights : rights & of_files;
        result = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_BENEATH, &rule, 0u);
    }
    int error = errno;
    close(rule.parent);
    errno = error;
    return result;
}

int drop_confine_landlock_create(const char *const *writable)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_ASK_VERSION);
    if (version < 0)
        return -1;
    uint64_t rights = WRITE_FILE | REMOVE_AND_MAKE;
    rights |= (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0);
    struct ruleset_attributes attributes = {.handled_file_system = rights};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0u);
    if (ruleset < 0)
        return -1; /* it is O_CLOEXEC by itself */
    int result = allow(ruleset, "/dev", rights & (WRITE_FILE | TRUNCATE));
    for (; result == 0 && writable && *writable; writable++)
        result = allow(ruleset, *writable, rights);
    if (result == 0)
        return ruleset;
    int error = errno;
    close(ruleset);
    errno = error;
    return -1;
}
