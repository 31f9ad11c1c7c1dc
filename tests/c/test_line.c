/* The framings of a worker's pipes, `line` with ncm and `frame`: round trips, and the edge of a
 * page. */
#define _GNU_SOURCE
#include "check.h"
#include "edge.h"
#include "length.h"
#include "line.h"

/* Encodes at the edge and decodes there in place; both must be as expected. */
static void check_ncm(const char *payload, size_t length, const char *expected,
                      size_t expected_length)
{
    struct edge from = edge_open(), to = edge_open();
    const char *source = edge_copy(&from, payload, length);
    size_t encoded = drop_ncm_encoded_length(source, length);
    CHECK_EQUAL(encoded, expected_length);
    char *target = edge_place(&to, encoded);
    drop_ncm_encode(target, source, length);
    CHECK(memcmp(target, expected, encoded) == 0);
    CHECK(drop_line_fits(target, encoded));
    CHECK_EQUAL(drop_ncm_decode(target, encoded), length);
    CHECK(memcmp(target, payload, length) == 0);
    edge_close(&from);
    edge_close(&to);
}

#define CHECK_NCM(payload, expected)                                                               \
    check_ncm(payload, sizeof(payload) - 1, expected, sizeof(expected) - 1)

static void test_fits(void)
{
    struct edge edge = edge_open();
    CHECK(drop_line_fits(edge_place(&edge, 0), 0));
    CHECK(drop_line_fits(edge_copy(&edge, "a\r\0b", 4), 4));
    CHECK(!drop_line_fits(edge_copy(&edge, "a\n", 2), 2));
    CHECK(!drop_line_fits(edge_copy(&edge, "\n", 1), 1));
    edge_close(&edge);
}

static void test_ncm(void)
{
    CHECK_NCM("", "");
    CHECK_NCM("plain", "plain");
    CHECK_NCM("\n", "\tncm\t");
    CHECK_NCM("a\nb", "a\tncm\tb");
    CHECK_NCM("\n\n\n", "\tncm\t\tncm\t\tncm\t");
    CHECK_NCM("a\r\n\0b\n", "a\r\tncm\t\0b\tncm\t");
    CHECK_NCM("\tnc\n", "\tnc\tncm\t");
}

static void check_decoded(const char *bytes, size_t length, const char *expected,
                          size_t expected_length)
{
    struct edge edge = edge_open();
    char *place = edge_copy(&edge, bytes, length);
    size_t decoded = drop_ncm_decode(place, length);
    CHECK(decoded == expected_length && memcmp(place, expected, decoded) == 0);
    edge_close(&edge);
}

#define CHECK_DECODED(bytes, expected)                                                             \
    check_decoded(bytes, sizeof(bytes) - 1, expected, sizeof(expected) - 1)

/* What is nearly ncm stays, and marks are taken from the left. */
static void test_nearly_ncm(void)
{
    CHECK_DECODED("\tncm", "\tncm");
    CHECK_DECODED("ncm\t", "ncm\t");
    CHECK_DECODED("\tnc\tm\t", "\tnc\tm\t");
    CHECK_DECODED("\tncm\tncm\t", "\nncm\t");
    CHECK_DECODED("\tn\tncm\tcm\t", "\tn\ncm\t");
    CHECK_DECODED("\t\tncm\t\t", "\t\n\t");
}

static void test_long_payload(void)
{
    static char payload[3000], expected[5 * 3000];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = '\n';
    for (size_t i = 0; i < sizeof payload; i++)
        memcpy(expected + 5 * i, DROP_NCM, DROP_NCM_LENGTH);
    check_ncm(payload, sizeof payload, expected, sizeof expected);
}

static void test_length_prefix(void)
{
    struct edge edge = edge_open();
    static const uint32_t lengths[] = {0, 1, 255, 256, 65536, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *place = edge_place(&edge, DROP_LENGTH_PREFIX);
        drop_length_put(place, lengths[i]);
        CHECK_EQUAL(drop_length_total(place, 4), (uint64_t)lengths[i] + 4);
    }
    for (size_t available = 0; available < DROP_LENGTH_PREFIX; available++)
        CHECK_EQUAL(drop_length_total(edge_place(&edge, available), available), 0);
    edge_close(&edge);
}

int main(void)
{
    RUN(test_fits);
    RUN(test_ncm);
    RUN(test_nearly_ncm);
    RUN(test_long_payload);
    RUN(test_length_prefix);
    return check_summary();
}
