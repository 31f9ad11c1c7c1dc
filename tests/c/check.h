/* The whole harness of the C tests: checks that say where they failed, and a count at the end.
 *
 *     static void test_empty(void) { CHECK(drop_ring_count(&ring) == 0); }
 *     int main(void) { RUN(test_empty); return check_summary(); }
 *
 * CHECK and its kin go on after a failure, REQUIRE ends the test. What a test leaves behind is
 * found by AddressSanitizer's leak check, so a test frees what it made.
 */
#ifndef CHECK_H
#define CHECK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct check_state {
    int passed;
    int failed;
    bool failing; /* the running test has failed a check */
    jmp_buf end;  /* of the running test */
};

static struct check_state check_state;

#define RUN(test) check_run(test, #test)

#define CHECK(condition) ((condition) ? (void)0 : check_fail(__FILE__, __LINE__, #condition))

#define REQUIRE(condition) \
    ((condition) ? (void)0 : check_fail_and_end(__FILE__, __LINE__, #condition))

/* Integers; both are shown when they differ. */
#define CHECK_EQUAL(actual, expected) \
    check_equal(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))

/* `length` bytes at `actual` against a string literal or array without its end mark. */
#define CHECK_BYTES(actual, length, expected) \
    check_bytes(__FILE__, __LINE__, #actual, (actual), (length), (expected), sizeof(expected) - 1)

static inline void check_fail(const char *file, int line, const char *text) {
    fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
    check_state.failing = true;
}

static inline void check_fail_and_end(const char *file, int line, const char *text) {
    check_fail(file, line, text);
    longjmp(check_state.end, 1);
}

static inline void check_equal(
    const char *file, int line, const char *text, long long actual, long long expected) {
    if (actual == expected) {
        return;
    }
    fprintf(stderr, "%s:%d: failed: %s is %lld, expected %lld\n", file, line, text, actual,
            expected);
    check_state.failing = true;
}

static inline void check_print_bytes(const char *label, const void *bytes, size_t length) {
    enum { SHOWN_MAX = 64 }; /* the start of a difference is enough to find it */
    const unsigned char *at = bytes;
    fprintf(stderr, "    %s (%zu bytes):", label, length);
    for (size_t i = 0; i < length && i < SHOWN_MAX; i++) {
        fprintf(stderr, " %02x", at[i]);
    }
    fprintf(stderr, length > SHOWN_MAX ? " ...\n" : "\n");
}

static inline void check_bytes(const char *file, int line, const char *text, const void *actual,
                               size_t length, const void *expected, size_t expected_length) {
    if (length == expected_length && memcmp(actual, expected, length) == 0) {
        return;
    }
    fprintf(stderr, "%s:%d: failed: the bytes of %s differ\n", file, line, text);
    check_print_bytes("actual", actual, length);
    check_print_bytes("expected", expected, expected_length);
    check_state.failing = true;
}

static inline void check_run(void (*test)(void), const char *name) {
    check_state.failing = false;
    if (setjmp(check_state.end) == 0) {
        test();
    }
    if (check_state.failing) {
        fprintf(stderr, "FAILED %s\n", name);
        check_state.failed++;
    } else {
        check_state.passed++;
    }
}

/* The last line of a test program and its exit status. */
static inline int check_summary(void) {
    printf("%d passed, %d failed\n", check_state.passed, check_state.failed);
    return check_state.failed == 0 && check_state.passed > 0 ? 0 : 1;
}

#endif
