/* Taking the exit status of a process by its pidfd. */
#ifndef DROP_REAP_H
#define DROP_REAP_H

#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct drop_exit {
    bool known; /* false: it still runs, or somebody else took its status */
    bool signalled;
    int number; /* exit code, or the signal's number */
};

/* Reaps it; waits until it has ended when `block` says so. */
static inline struct drop_exit drop_reap(int pidfd, bool block)
{
    siginfo_t info = {.si_pid = 0};
    int flags = WEXITED | (block ? 0 : WNOHANG);
    while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, flags) != 0)
        if (errno != EINTR)
            return (struct drop_exit){.known = false};
    if (info.si_pid == 0)
        return (struct drop_exit){.known = false};
    return (struct drop_exit){true, info.si_code != CLD_EXITED, info.si_status};
}

#endif
