/* The names of signals, as glibc's sigabbrev_np tells them, which it does from 2.32 on only. */
#ifndef DROP_SIGNAME_H
#define DROP_SIGNAME_H

/* "KILL" for SIGKILL; NULL for a number without a name, as the real-time signals have. */
const char *drop_signame(int number);

#endif
