/* A child that borrows its parent's memory, on a stack of its own, perhaps born in a control group.
 *
 * The C library has no clone3, which alone can put a child into a group of version 2 as it is born.
 * Joining one later stops every fork and exit of the machine until all processors have been heard
 * of, up to 10 ms. */
#ifndef DROP_SPAWN_CLONE_H
#define DROP_SPAWN_CLONE_H

#include <stddef.h>
#include <sys/types.h>

/* Runs `run(argument)` in a child and returns when that has executed a program or ended; what `run`
 * returns is the exit code. `stack` is the lowest address of `size` bytes. `group`: a descriptor of
 * the directory of a control group, or -1. Returns the pid, with its descriptor in `pidfd`, or -1
 * with errno: ENOSYS where this kernel or processor has no clone3 or cannot use a group so. */
pid_t drop_spawn_clone(int (*run)(void *), void *argument, char *stack, size_t size, int group,
                       int *pidfd);

#endif
