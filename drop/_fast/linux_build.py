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
""")

ffibuilder.set_source(
    "drop._fast._linux",
    """
    #include <errno.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #ifndef SYS_close_range
    #define SYS_close_range 436 /* the same number everywhere; the kernel may know it even so */
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
    """,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
