#define _GNU_SOURCE
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *drop_program_path(char *const *environment)
{
    for (; *environment; environment++)
        if (strncmp(*environment, "PATH=", 5) == 0)
            return *environment + 5;
    return "/usr/bin:/bin";
}

/* 0 when `candidate` is a file that may be executed. */
static int check(int directory, const char *candidate)
{
    struct stat status;
    if (fstatat(directory, candidate, &status, 0) != 0)
        return errno;
    if (!S_ISREG(status.st_mode) || faccessat(directory, candidate, X_OK, AT_EACCESS) != 0)
        return EACCES;
    return 0;
}

/* Writes ENTRY/NAME, or ./NAME for an empty entry; false when it does not fit. */
static int join(char *out, size_t size, const char *entry, size_t length, const char *name)
{
    if (length == 0) {
        entry = ".";
        length = 1;
    }
    size_t name_size = strlen(name) + 1;
    if (length + 1 + name_size > size)
        return 0;
    memcpy(out, entry, length);
    out[length] = '/';
    memcpy(out + length + 1, name, name_size);
    return 1;
}

static int search(int directory, const char *name, const char *path, char *found, size_t size)
{
    int result = ENOENT;
    for (;;) {
        size_t length = strcspn(path, ":");
        int error = join(found, size, path, length, name) ? check(directory, found) : ENAMETOOLONG;
        if (error == 0)
            return 0;
        if (error == EACCES)
            result = EACCES;
        if (path[length] == '\0')
            return result;
        path += length + 1;
    }
}

int drop_program_find(const char *name, const char *path, int directory, char *found, size_t size)
{
    size_t name_size = strlen(name) + 1;
    if (name_size == 1)
        return ENOENT;
    if (name_size > size)
        return ENAMETOOLONG;
    if (!strchr(name, '/'))
        return search(directory, name, path, found, size);
    memcpy(found, name, name_size);
    return 0;
}
