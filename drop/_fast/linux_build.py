"""Makes drop._fast._linux (cffi, API mode): the Linux calls that Python 3.11 does not offer.

Each function returns 0 or an errno, and exists whatever the kernel: what is missing answers ENOSYS
or EINVAL. drop/host/linux.py is the typed door to them.
"""

from cffi import FFI

ffibuilder = FFI()

ffibuilder.cdef("""
    int drop_linux_set_child_subreaper(int on);
    int drop_linux_set_thread_name(const char *name);
    int drop_linux_close_range(unsigned int first, unsigned int last);
    int drop_linux_keep_capabilities(void);
""")

ffibuilder.set_source(
    "drop._fast._linux",
    """
    #include <errno.h>
    #include <linux/capability.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #ifndef SYS_close_range
    #define SYS_close_range 436 /* the same number everywhere; the kernel may know it even so */
    #endif
    #ifndef PR_CAP_AMBIENT
    #define PR_CAP_AMBIENT 47
    #define PR_CAP_AMBIENT_CLEAR_ALL 4
    #endif

    static int drop_linux_set_child_subreaper(int on)
    {
        return prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) == 0 ? 0 : errno;
    }

    static int drop_linux_set_thread_name(const char *name)
    {
        return prctl(PR_SET_NAME, name, 0, 0, 0) == 0 ? 0 : errno;
    }

    static int drop_linux_close_range(unsigned int first, unsigned int last)
    {
        return syscall(SYS_close_range, first, last, 0u) == 0 ? 0 : errno;
    }

    /* Of the calling thread, and of those that it starts from then on. The right to pass over the
       owners of files is only kept in reserve: see open_score() in c_src/confine.c. */
    static int drop_linux_keep_capabilities(void)
    {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct own[_LINUX_CAPABILITY_U32S_3];
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
            return errno;
        if (syscall(SYS_capget, &header, own) != 0)
            return errno;
        own[0].inheritable = own[1].inheritable = 0;
        if (geteuid() != 0)
            own[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
        return syscall(SYS_capset, &header, own) == 0 ? 0 : errno;
    }
    """,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
