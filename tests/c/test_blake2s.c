/* BLAKE2s against RFC 7693 (appendices B and E) and against vectors made with Python's hashlib. */
#include "blake2s.h"
#include "check.h"

static void check_hex(const uint8_t *digest, size_t length, const char *hex)
{
    char text[2 * DROP_BLAKE2S_OUT_MAX + 1];
    for (size_t i = 0; i < length; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    CHECK_EQUAL(strlen(hex), 2 * length);
    if (strcmp(text, hex) != 0)
        fprintf(stderr, "%s\n%s expected\n", text, hex);
    CHECK(strcmp(text, hex) == 0);
}

static void hash(const void *data, size_t length, const void *person, uint8_t *digest)
{
    struct drop_blake2s state;
    drop_blake2s_start(&state, 32, NULL, 0, person);
    drop_blake2s_finish(&state, data, length, digest);
}

static void test_abc(void)
{
    uint8_t digest[32];
    hash("abc", 3, NULL, digest);
    check_hex(digest, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

/* The sequence of RFC 7693, appendix E. */
static void fill(uint8_t *bytes, size_t length, uint32_t seed)
{
    uint32_t a = 0xDEAD4BADu * seed, b = 1;
    for (size_t i = 0; i < length; i++) {
        uint32_t sum = a + b;
        a = b;
        b = sum;
        bytes[i] = (uint8_t)(sum >> 24);
    }
}

/* Keyed digests of nothing, which drop_blake2s_finish does not make; from hashlib. */
static const char *const of_nothing[4] = {
    "\x84\x89\x68\xb3\x59\x01\xe9\x57\x9a\x4d\xbf\x28\xdf\x99\xec\x23",
    "\x68\x64\x48\x80\x0c\x80\xc6\xd0\x4f\xb7\x3f\xc1\x7f\xa0\x8c\xa2\x39\x03\xe1\xe9",
    "\xa8\x66\x86\x63\x35\x3a\xe0\x8f\x4e\x4b\x6b\x1e\xcb\x43\x19\xc8\x2b\x41\x3f\x5e\xe5\x43"
    "\x95\x9c\xa5\x9a\x73\x1b",
    "\x98\xf3\x21\xe5\x43\xb8\x07\x35\x27\x9c\x86\x1c\x36\x33\x9b\x43\x45\x50\xc6\x9d\x23\xc6"
    "\xc8\xff\x96\xbf\x4e\x03\x86\x10\x24\xfd",
};

static void test_the_self_test_of_the_rfc(void)
{
    static const size_t lengths[] = {0, 3, 64, 65, 255, 1024}, sizes[] = {16, 20, 28, 32};
    uint8_t digests[6 * 2 * (16 + 20 + 28 + 32)], data[1024], key[32], digest[32];
    size_t at = 0;
    struct drop_blake2s state;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 6; j++) {
            fill(data, lengths[j], (uint32_t)lengths[j]);
            drop_blake2s_start(&state, sizes[i], NULL, 0, NULL);
            drop_blake2s_finish(&state, data, lengths[j], digests + at);
            at += sizes[i];
            fill(key, sizes[i], (uint32_t)sizes[i]);
            drop_blake2s_start(&state, sizes[i], key, sizes[i], NULL);
            if (lengths[j] > 0)
                drop_blake2s_finish(&state, data, lengths[j], digests + at);
            else
                memcpy(digests + at, of_nothing[i], sizes[i]);
            at += sizes[i];
        }
    CHECK_EQUAL(at, sizeof digests);
    hash(digests, at, NULL, digest);
    check_hex(digest, 32, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

static void pattern(uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 7 + length);
}

static const struct {
    size_t length;
    const char *plain; /* 32 bytes, personalised */
    const char *keyed; /* 16 bytes, key 00 01 ... 1f */
} vectors[] = {
    {1, "300ad394be88907fdd32850d74ddb290f613c84b265bcb55a70aa5971ddb354e",
     "09592f9cc501fa68e20d2d4c6eddb4d6"},
    {63, "8b0a5674f75d4a6f9f6c0390e8e905575790882d7b540c8ea1e673589a34ae54",
     "9451c45219c16aea00f764a122188a72"},
    {64, "ade166c7cbce33dd823f46445585be062591a7a2e25134f49fdf59919e82bdb7",
     "a98bd19ee44f86595e699274b7c20141"},
    {65, "efb681bae76f15dda505b92cc01e6cd295514952fa60b8dc2c74393b134f4c4e",
     "932e312affdbb0e4cdbe528d374cc65e"},
    {127, "00e85210ca4241db74072839bd20cbd31606bdfae45af44a4d3b9969ace806eb",
     "d83459ba9ac86557e8b53626fb5207c2"},
    {128, "5ae2881dad56cfffdedb4c2f3d2f354a4040eb61c1826e4613a100fa0a8d496f",
     "36a944d1c56b95e223bf3965a3de6d18"},
    {130, "5279ea0138501cc6e4242f24b6a1b19599c007acaf4ff696965ab9815b33780b",
     "5abf2875b402975b7a8f305f8a83fe53"},
    {360, "e70d87098da6bfe1997f059a198ec15abef0beeba1965787d7b82c1a125c47aa",
     "b98f5f52c9b0c5eb3a734b89e03f0552"},
};

static void test_vectors(void)
{
    uint8_t data[400], key[32], digest[32];
    struct drop_blake2s keyed;
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    drop_blake2s_start(&keyed, 16, key, sizeof key, NULL);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        pattern(data, vectors[i].length);
        hash(data, vectors[i].length, "DROP key", digest);
        check_hex(digest, 32, vectors[i].plain);
        drop_blake2s_finish(&keyed, data, vectors[i].length, digest);
        check_hex(digest, 16, vectors[i].keyed);
    }
}

/* One state serves any number of packets: the digest of the digests of all lengths up to 399. */
static void test_every_length(void)
{
    uint8_t data[400], key[32], digests[399 * 16], digest[32];
    struct drop_blake2s keyed;
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    drop_blake2s_start(&keyed, 16, key, sizeof key, NULL);
    for (size_t length = 1; length < 400; length++) {
        pattern(data, length);
        drop_blake2s_finish(&keyed, data, length, digests + 16 * (length - 1));
    }
    hash(digests, sizeof digests, NULL, digest);
    check_hex(digest, 32, "424f636cef41872b2ace6e423206c43c298a6d7f3cfc868793f354380dd6d071");
}

static void test_nothing(void)
{
    uint8_t digest[32];
    hash("", 0, "DROP key", digest);
    check_hex(digest, 32, "76c1e00e13c9a4b5703d2074abbec57340628fdf23a7a73998978762b0439fba");
}

static void test_equal(void)
{
    uint8_t left[16] = {1, 2, 3}, right[16] = {1, 2, 3};
    CHECK(drop_blake2s_equal(left, right, 16));
    for (unsigned i = 0; i < 16; i++) {
        right[i] ^= 0x80;
        CHECK(!drop_blake2s_equal(left, right, 16));
        right[i] ^= 0x80;
    }
}

int main(void)
{
    RUN(test_abc);
    RUN(test_the_self_test_of_the_rfc);
    RUN(test_vectors);
    RUN(test_every_length);
    RUN(test_nothing);
    RUN(test_equal);
    return check_summary();
}
