/* clone(2), and clone3(2) by hand; see spawn_clone.h. */
#define _GNU_SOURCE
#include "spawn_clone.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define INTO_GROUP 0x200000000ull /* CLONE_INTO_CGROUP, Linux 5.7 */

#define FLAGS (CLONE_VM | CLONE_VFORK | CLONE_PIDFD)

/* struct clone_args of linux/sched.h as of Linux 5.7. */
struct clone_arguments {
    uint64_t flags;
    uint64_t pidfd;
    uint64_t child_tid;
    uint64_t parent_tid;
    uint64_t exit_signal;
    uint64_t stack;
    uint64_t stack_size;
    uint64_t tls;
    uint64_t set_tid;
    uint64_t set_tid_size;
    uint64_t group;
};

/* The child goes on behind the system call with the new stack, where no frame of the compiler's is,
 * so it must not leave the assembly: it calls `run` and exits there. The parent gets -errno. */
#if defined(__x86_64__)
static long clone3(struct clone_arguments *arguments, int (*run)(void *), void *argument)
{
    long result = SYS_clone3;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %[argument], %%rdi\n\t"
                     "callq *%[run]\n\t"
                     "movl %%eax, %%edi\n\t"
                     "movl %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:"
                     : "+a"(result)
                     : "D"(arguments), "S"(sizeof *arguments), [run] "r"(run),
                       [argument] "r"(argument), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "cc", "memory");
    return result;
}
#elif defined(__aarch64__)
static long clone3(struct clone_arguments *arguments, int (*run)(void *), void *argument)
{
    register long result __asm__("x0") = (long)arguments;
    register long size __asm__("x1") = sizeof *arguments;
    register long number __asm__("x8") = SYS_clone3;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x0, %[argument]\n\t"
                     "blr %[run]\n\t"
                     "mov x8, %[exit]\n\t"
                     "svc #0\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(result)
                     : "r"(size), "r"(number), [run] "r"(run), [argument] "r"(argument),
                       [exit] "i"(SYS_exit)
                     : "x30", "cc", "memory");
    return result;
}
#else
static long clone3(struct clone_arguments *arguments, int (*run)(void *), void *argument)
{
    (void)arguments, (void)run, (void)argument;
    return -ENOSYS;
}
#endif

static pid_t clone_into(int (*run)(void *), void *argument, char *stack, size_t size, int group,
                        int *pidfd)
{
    struct clone_arguments arguments = {
        .flags = FLAGS | INTO_GROUP,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = size,
        .group = (uint64_t)group,
    };
    long result = clone3(&arguments, run, argument);
    if (result >= 0)
        return (pid_t)result;
    /* E2BIG, EINVAL: a kernel whose clone3 knows no groups. */
    errno = result == -E2BIG || result == -EINVAL ? ENOSYS : (int)-result;
    return -1;
}

pid_t drop_spawn_clone(int (*run)(void *), void *argument, char *stack, size_t size, int group,
                       int *pidfd)
{
    if (group >= 0)
        return clone_into(run, argument, stack, size, group, pidfd);
    return clone(run, stack + size, FLAGS | SIGCHLD, argument, pidfd);
}
