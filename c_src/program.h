/* Where a program lies: the PATH search of execvp(3), done before there is a child.
 *
 * A child of vfork must not allocate and should fail rarely, so the search is the parent's. It uses
 * the PATH and the directory that the *child* will have. Nothing here knows about processes. */
#ifndef DROP_PROGRAM_H
#define DROP_PROGRAM_H

#include <stddef.h>

/* The value of PATH in an environment (NULL-terminated, NAME=VALUE), or "/usr/bin:/bin" where it
 * has none. Borrowed. */
const char *drop_program_path(char *const *environment);

/* Writes the path to execute for `name` to `found` (`size` bytes, with its terminator). Returns 0
 * or an errno.
 *
 * A name with a slash is taken as it is, unchecked: execve says what is wrong with it. Any other is
 * looked for in the directories of `path`, in order; an entry that is empty or relative is relative
 * to the descriptor `directory` (AT_FDCWD: the current one), and so is the result. Only regular
 * files with an x bit that this process may use count. ENOENT: there is none; EACCES: there is one,
 * but none that may be executed; ENAMETOOLONG: the name does not fit. */
int drop_program_find(const char *name, const char *path, int directory, char *found, size_t size);

#endif
