/* Packets of discovery: what is written is read, and what is wrong in any byte is refused for its
 * reason. */
#include <stdlib.h>

#include "beacon.h"
#include "beacons.h"
#include "check.h"

static const uint8_t id[DROP_BEACON_ID] = "0123456789abcdef";

/* Decodes a copy that ends where an allocation ends, so that reading past it is found. */
static enum drop_beacon_verdict decode(const struct packet *packet, size_t length,
                                       const struct drop_beacon_keys *keys)
{
    struct drop_beacon beacon;
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy)
        abort();
    memcpy(copy, packet->bytes, length);
    enum drop_beacon_verdict verdict = drop_beacon_decode(copy, length, keys, &beacon);
    if (verdict == DROP_BEACON_ACCEPTED && !drop_beacon_verify(copy, length, keys, &beacon))
        verdict = DROP_BEACON_FORGED;
    free(copy);
    return verdict;
}

/* By hand, with the reference implementation of the hash: what other implementations must make. */
static void test_the_bytes(void)
{
    static const char expected[] =
        "DRPB\x01\x01\x00\x77" "\x33\x88\x48\xd8" "\x00\x01\x1f\x95" "0123456789abcdef"
        "\x00\x00\x00\x00\x00\x00\x00\x0a" "\x00\x00\x00\x00\x00\x00\x00\x4d"
        "\x00\x00\x00\x00\x00\x00\x00\x01" "\x00\x00\x00\x00\x00\x00\x00\x00"
        "\x00\x7b\x00\x08\x00\x00\x00\x28\x00\x00\x07\xd0\x06\x07\x05\x01" BEACON_TEXT
        "\xb4\x0e\xd5\x02\x19\x58\xd6\x7e\x8f\xb2\xb2\xc3\xda\x64\x40\x34";
    struct drop_beacon_keys keys = keys_of(1, 0);
    struct drop_beacon beacon = beacon_of(id);
    beacon.flags = DROP_BEACON_SOLICIT;
    struct packet packet = packet_of(&beacon, &keys);
    CHECK_BYTES(packet.bytes, packet.length, expected);
}

static void test_what_is_written_is_read(void)
{
    struct drop_beacon_keys keys = keys_of(1, 2);
    struct drop_beacon beacon = beacon_of(id), read;
    beacon.type = DROP_BEACON_PROBE;
    beacon.flags = DROP_BEACON_SOLICIT;
    beacon.incarnation = UINT64_MAX;
    beacon.session = 0x8000000000000001u;
    beacon.sequence = 0x0102030405060708u;
    beacon.nonce = 0xfedcba9876543210u;
    beacon.workers = 0xfffffffe;
    beacon.memory_mib = 0x12345678;
    struct packet packet = packet_of(&beacon, &keys);
    CHECK_EQUAL(drop_beacon_decode(packet.bytes, packet.length, &keys, &read), 0);
    CHECK(drop_beacon_verify(packet.bytes, packet.length, &keys, &read));
    CHECK_EQUAL(read.type, DROP_BEACON_PROBE);
    CHECK_EQUAL(read.flags, DROP_BEACON_SOLICIT);
    CHECK_EQUAL(read.port, 8085);
    CHECK(read.incarnation == UINT64_MAX && read.session == beacon.session);
    CHECK(read.sequence == beacon.sequence && read.nonce == beacon.nonce);
    CHECK(read.load == 123 && read.cpus == 8);
    CHECK_EQUAL(read.workers, 0xfffffffe);
    CHECK_EQUAL(read.memory_mib, 0x12345678);
    CHECK_BYTES(read.node_id, DROP_BEACON_ID, "0123456789abcdef");
    CHECK_EQUAL(read.name_length, 6);
    CHECK_EQUAL(read.namespace_length, 7);
    CHECK_EQUAL(read.version_length, 5);
    CHECK_EQUAL(read.addresses, 1);
    CHECK_BYTES(read.text, read.text_length, BEACON_TEXT);
}

static void test_every_length_of_a_packet(void)
{
    struct drop_beacon_keys keys = keys_of(1, 0);
    struct drop_beacon beacon = beacon_of(id);
    struct packet packet = packet_of(&beacon, &keys);
    for (size_t length = 0; length < packet.length; length++)
        CHECK_EQUAL(decode(&packet, length, &keys), DROP_BEACON_TRUNCATED);
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_ACCEPTED);
    for (size_t length = packet.length + 1; length <= sizeof packet.bytes; length++)
        CHECK_EQUAL(decode(&packet, length, &keys), DROP_BEACON_OVERSIZED);
}

static void test_every_bit_is_signed(void)
{
    struct drop_beacon_keys keys = keys_of(1, 0);
    struct drop_beacon beacon = beacon_of(id);
    struct packet packet = packet_of(&beacon, &keys);
    for (size_t bit = 0; bit < 8 * packet.length; bit++) {
        packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(decode(&packet, packet.length, &keys) != DROP_BEACON_ACCEPTED);
        packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_ACCEPTED);
}

/* One byte is changed, and the tag is made right: the field itself is refused. */
static const struct {
    size_t at;
    uint8_t value;
    enum drop_beacon_verdict verdict;
} wrong[] = {
    {0, 'd', DROP_BEACON_NO_MAGIC},
    {3, 0, DROP_BEACON_NO_MAGIC},
    {4, 0, DROP_BEACON_OTHER_VERSION},
    {4, 2, DROP_BEACON_OTHER_VERSION},
    {5, 0, DROP_BEACON_MALFORMED},
    {5, 4, DROP_BEACON_MALFORMED},
    {5, DROP_BEACON_PROBE, DROP_BEACON_MALFORMED}, /* without a nonce */
    {7, 0x76, DROP_BEACON_OVERSIZED},
    {7, 0x78, DROP_BEACON_TRUNCATED},
    {8, 0, DROP_BEACON_FOREIGN},
    {11, 0, DROP_BEACON_FOREIGN},
    {12, 1, DROP_BEACON_MALFORMED},
    {13, 2, DROP_BEACON_MALFORMED},
    {39, 0, DROP_BEACON_MALFORMED}, /* incarnation 0 */
    {55, 0, DROP_BEACON_MALFORMED}, /* sequence 0 */
    {76, 0, DROP_BEACON_MALFORMED},
    {76, 65, DROP_BEACON_MALFORMED},
    {76, 14, DROP_BEACON_MALFORMED},
    {77, 65, DROP_BEACON_MALFORMED},
    {78, 17, DROP_BEACON_MALFORMED},
    {78, 4, DROP_BEACON_MALFORMED},
    {79, 0, DROP_BEACON_MALFORMED},
    {79, 2, DROP_BEACON_MALFORMED},
    {79, 9, DROP_BEACON_MALFORMED},
    {80, ' ', DROP_BEACON_MALFORMED},
    {81, '/', DROP_BEACON_MALFORMED},
    {86, '\n', DROP_BEACON_MALFORMED},
    {93, 0x7f, DROP_BEACON_MALFORMED},
    {98, 5, DROP_BEACON_MALFORMED}, /* neither address family */
    {98, 6, DROP_BEACON_MALFORMED}, /* of which four bytes are there */
    {102, 9, DROP_BEACON_ACCEPTED},
};

static void test_fields(void)
{
    struct drop_beacon_keys keys = keys_of(1, 0);
    struct drop_beacon beacon = beacon_of(id);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct packet packet = packet_of(&beacon, &keys);
        packet.bytes[wrong[i].at] = wrong[i].value;
        reseal(&packet, &keys);
        if (decode(&packet, packet.length, &keys) != wrong[i].verdict)
            fprintf(stderr, "row %zu\n", i);
        CHECK_EQUAL(decode(&packet, packet.length, &keys), wrong[i].verdict);
    }
}

static void test_who_and_what_type(void)
{
    static const uint8_t nobody[DROP_BEACON_ID];
    struct drop_beacon_keys keys = keys_of(1, 0);
    struct drop_beacon beacon = beacon_of(nobody);
    struct packet packet = packet_of(&beacon, &keys);
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_MALFORMED);
    beacon = beacon_of(id);
    beacon.type = DROP_BEACON_LEAVE;
    packet = packet_of(&beacon, &keys);
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_ACCEPTED);
    beacon.nonce = 5;
    packet = packet_of(&beacon, &keys);
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_MALFORMED);
}

static void test_the_largest_and_the_smallest(void)
{
    struct drop_beacon_keys keys = keys_of(1, 0);
    struct drop_beacon beacon = beacon_of(id);
    uint8_t text[DROP_BEACON_TEXT_MAX];
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < DROP_BEACON_ADDRESSES_MAX; i++)
        text[144 + 17 * i] = 6;
    beacon.name_length = beacon.namespace_length = 64;
    beacon.version_length = 16;
    beacon.addresses = 8;
    beacon.text_length = sizeof text;
    beacon.text = text;
    struct packet packet = packet_of(&beacon, &keys);
    CHECK_EQUAL(packet.length, 376);
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_ACCEPTED);
    beacon.name_length = 1;
    beacon.namespace_length = beacon.version_length = beacon.addresses = 0;
    beacon.text_length = 1;
    packet = packet_of(&beacon, &keys);
    CHECK_EQUAL(packet.length, DROP_BEACON_MIN);
    CHECK_EQUAL(decode(&packet, packet.length, &keys), DROP_BEACON_ACCEPTED);
}

/* old, old + new, new + old, new: at each step everybody understands everybody who is one behind.
 */
static void test_rotation_of_keys(void)
{
    const struct drop_beacon_keys steps[] = {keys_of(1, 0), keys_of(1, 2), keys_of(2, 1),
                                             keys_of(2, 0)};
    struct drop_beacon beacon = beacon_of(id);
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++) {
            struct packet packet = packet_of(&beacon, &steps[from]);
            bool understood = from / 2 == 0 ? to <= 2 : to >= 1;
            CHECK_EQUAL(decode(&packet, packet.length, &steps[to]),
                        understood ? DROP_BEACON_ACCEPTED : DROP_BEACON_FOREIGN);
        }
}

static void test_no_key_no_packet(void)
{
    struct drop_beacon_keys keys = keys_of(1, 0), none = keys_of(0, 0);
    struct drop_beacon beacon = beacon_of(id);
    struct packet packet = packet_of(&beacon, &keys);
    uint8_t key[DROP_BEACON_KEY] = {3};
    CHECK_EQUAL(decode(&packet, packet.length, &none), DROP_BEACON_FOREIGN);
    CHECK(drop_beacon_keys_add(&keys, key));
    CHECK(!drop_beacon_keys_add(&keys, key));
}

int main(void)
{
    RUN(test_the_bytes);
    RUN(test_what_is_written_is_read);
    RUN(test_every_length_of_a_packet);
    RUN(test_every_bit_is_signed);
    RUN(test_fields);
    RUN(test_who_and_what_type);
    RUN(test_the_largest_and_the_smallest);
    RUN(test_rotation_of_keys);
    RUN(test_no_key_no_packet);
    return check_summary();
}
