/* Every number has the name that the C library gives it, where that one knows any. */
#define _GNU_SOURCE
#include <features.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "check.h"
#include "signame.h"

static bool is(int number, const char *expected)
{
    const char *name = drop_signame(number);
    return name == expected || (name && expected && strcmp(name, expected) == 0);
}

static void test_well_known_names(void)
{
    CHECK(is(SIGKILL, "KILL"));
    CHECK(is(SIGSEGV, "SEGV"));
    CHECK(is(SIGSYS, "SYS"));
}

static void test_numbers_without_a_name(void)
{
    CHECK(is(0, NULL));
    CHECK(is(-1, NULL));
    CHECK(is(INT_MIN, NULL));
    CHECK(is(SIGRTMIN, NULL));
    CHECK(is(40, NULL));
    CHECK(is(INT_MAX, NULL));
}

static void test_the_c_library_agrees(void)
{
#if __GLIBC_PREREQ(2, 32)
    for (int number = -1; number <= SIGRTMAX + 1; number++)
        CHECK(is(number, sigabbrev_np(number)));
#else
    CHECK(is(SIGTERM, "TERM")); /* it has no names to compare with */
#endif
}

int main(void)
{
    RUN(test_well_known_names);
    RUN(test_numbers_without_a_name);
    RUN(test_the_c_library_agrees);
    return check_summary();
}
