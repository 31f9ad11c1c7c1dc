/* Joining, killing and counting; see cgroup.h. */
#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 4096 /* of memory.events, memory.oom_control, pids.max */
#define KILL_PASSES 4 /* two are needed, see drop_cgroup_kill; more where there is no limit */

/* Opens FILE of a group; -1 with errno. */
static int open_file(const char *group, const char *file, int flags)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", group, file);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, flags | O_CLOEXEC);
}

/* The file as a text; 0 when it cannot be read. */
static size_t read_text(const char *group, const char *file, char text[TEXT_MAX])
{
    int fd = open_file(group, file, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, TEXT_MAX - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

/* Version 1 moves a thread that writes itself to `tasks` without stopping every fork and exit of
 * the machine for it, as a write to `cgroup.procs` does: that waits for all processors, 10 ms where
 * it has not been done for a while. Only version 1 has that file. */
static int open_one(const char *parent, uint32_t number, struct drop_cgroup_slot *slot)
{
    char group[PATH_MAX];
    int length = snprintf(group, sizeof group, "%s/%u", parent, number);
    if (length < 0 || (size_t)length >= sizeof group)
        return ENAMETOOLONG;
    int fd = open_file(group, "tasks", O_WRONLY);
    if (fd >= 0) {
        slot->tasks[slot->count++] = fd;
        return 0;
    }
    if (errno != ENOENT || slot->directory >= 0)
        return errno;
    slot->directory = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return slot->directory < 0 ? errno : 0;
}

int drop_cgroup_open(const char *const *parents, uint32_t number, struct drop_cgroup_slot *slot)
{
    *slot = (struct drop_cgroup_slot)DROP_CGROUP_NO_SLOT;
    for (; parents && *parents; parents++) {
        int error = slot->count == DROP_CGROUP_PARENTS_MAX ? E2BIG
                                                           : open_one(*parents, number, slot);
        if (error) {
            drop_cgroup_close(slot);
            return error;
        }
    }
    return 0;
}

void drop_cgroup_close(struct drop_cgroup_slot *slot)
{
    while (slot->count)
        close(slot->tasks[--slot->count]);
    if (slot->directory >= 0)
        close(slot->directory);
    slot->directory = -1;
}

static int write_text(const char *group, const char *file, const char *text)
{
    int fd = open_file(group, file, O_WRONLY);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    return written < 0 ? -1 : 0;
}

/* SIGKILL to all that are listed now; how many those are. The list is read through once, so it may
 * be longer than any buffer of ours; a number that it names may in theory be somebody else's by the
 * time it is signalled, when the kernel has gone through all numbers in between. */
static size_t kill_listed(const char *group)
{
    int fd = open_file(group, "cgroup.procs", O_RDONLY);
    FILE *list = fd < 0 ? NULL : fdopen(fd, "r");
    size_t count = 0;
    int pid;
    if (!list) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (; fscanf(list, "%d", &pid) == 1; count++)
        if (pid > 0) /* 0: of a process namespace that we do not see into */
            kill(pid, SIGKILL);
    fclose(list);
    return count;
}

/* Asks the count first, where there is one: a list costs the kernel an allocation and a sort. */
static int is_empty(const char *group)
{
    char count[TEXT_MAX];
    return read_text(group, "pids.current", count) && strcmp(count, "0\n") == 0;
}

/* Processes that fork faster than we kill would go on for ever, so there may be no more of them
 * meanwhile. A process with a SIGKILL pending completes no fork; what was forked between our look
 * and our signal is seen by the next look. The first look is without all that: most groups are
 * empty. */
void drop_cgroup_kill(const char *group)
{
    char limit[TEXT_MAX];
    if (is_empty(group) || kill_listed(group) == 0 || write_text(group, "cgroup.kill", "1") == 0)
        return;
    size_t limited = read_text(group, "pids.max", limit);
    if (limited)
        write_text(group, "pids.max", "0");
    for (int pass = 0; pass < KILL_PASSES && kill_listed(group) > 0; pass++)
        ;
    if (limited)
        write_text(group, "pids.max", limit);
}

/* The group of a parent may not be there yet, so this looks at the parent itself. */
const char *drop_cgroup_counter(const char *parent)
{
    static const char *const files[] = {"memory.events", "memory.oom_control"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int fd = open_file(parent, files[i], O_RDONLY);
        if (fd >= 0) {
            close(fd);
            return files[i];
        }
    }
    return NULL;
}

/* Either file has lines of "NAME NUMBER". */
uint64_t drop_cgroup_oom_kills(const char *group, const char *counter)
{
    char text[TEXT_MAX];
    if (!read_text(group, counter, text))
        return 0;
    const char *line = text;
    while (line && strncmp(line, "oom_kill ", 9) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line ? strtoull(line + 9, NULL, 10) : 0;
}
