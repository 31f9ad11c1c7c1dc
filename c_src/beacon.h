/* The packets by which nodes find each other: encode, seal, look, decode, verify.
 *
 * Pure: the caller owns all memory, a decoded packet borrows from its bytes, nothing is allocated.
 * The format is in docs/beacons.md; one for all types, numbers big-endian, a BLAKE2s tag at the
 * end. What a receiver may trust before the tag was verified: nothing; it may use it to be rid of
 * the packet sooner. */
#ifndef DROP_BEACON_H
#define DROP_BEACON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blake2s.h"

#define DROP_BEACON_VERSION 1u
#define DROP_BEACON_HEADER 12u /* bytes up to and with the key id */
#define DROP_BEACON_FIXED 80u  /* bytes before the name */
#define DROP_BEACON_TAG 16u
#define DROP_BEACON_ID 16u
#define DROP_BEACON_KEY 32u
#define DROP_BEACON_KEYS_MAX 2u
#define DROP_BEACON_NAME_MAX 64u
#define DROP_BEACON_NAMESPACE_MAX 64u
#define DROP_BEACON_VERSION_MAX 16u
#define DROP_BEACON_ADDRESSES_MAX 8u
/* bytes of name, namespace, version and addresses */
#define DROP_BEACON_TEXT_MAX                                                                       \
    (DROP_BEACON_NAME_MAX + DROP_BEACON_NAMESPACE_MAX + DROP_BEACON_VERSION_MAX +                  \
     DROP_BEACON_ADDRESSES_MAX * 17u)
#define DROP_BEACON_MIN (DROP_BEACON_FIXED + 1u + DROP_BEACON_TAG)
#define DROP_BEACON_MAX (DROP_BEACON_FIXED + DROP_BEACON_TEXT_MAX + DROP_BEACON_TAG)

#define DROP_BEACON_SOLICIT 1u /* flag: answer soon, I am new */

enum drop_beacon_type {
    DROP_BEACON_BEACON = 1,
    DROP_BEACON_PROBE = 2,
    DROP_BEACON_LEAVE = 3,
};

/* What becomes of a packet: accepted, or why it was dropped. The last four are told by peers.h. */
enum drop_beacon_verdict {
    DROP_BEACON_ACCEPTED,
    DROP_BEACON_TRUNCATED, /* shorter than it says, or than any packet is */
    DROP_BEACON_OVERSIZED, /* longer than it says, or than any packet may be */
    DROP_BEACON_NO_MAGIC,
    DROP_BEACON_OTHER_VERSION,
    DROP_BEACON_MALFORMED,
    DROP_BEACON_FOREIGN, /* signed by a key that we do not have */
    DROP_BEACON_FORGED,  /* signed by nobody */
    DROP_BEACON_REPLAYED,
    DROP_BEACON_STALE,
    DROP_BEACON_FULL,
    DROP_BEACON_OWN,
    DROP_BEACON_VERDICTS,
};

struct drop_beacon_key {
    uint8_t id[4];
    struct drop_blake2s state;
};

/* The first one signs, all verify; without any nothing is sent and nothing accepted. */
struct drop_beacon_keys {
    size_t count;
    struct drop_beacon_key keys[DROP_BEACON_KEYS_MAX];
};

/* What a node says of itself beside who it is: name, namespace, version and addresses as they are
 * in the packet, one behind the other. */
struct drop_beacon_text {
    uint8_t name_length;
    uint8_t namespace_length;
    uint8_t version_length;
    uint8_t addresses;
    uint16_t length; /* bytes of it all */
    uint8_t bytes[DROP_BEACON_TEXT_MAX];
};

/* A packet. `text` is borrowed when it was decoded. */
struct drop_beacon {
    uint8_t type;
    uint8_t key; /* place in the keys */
    uint16_t flags;
    uint16_t port;
    uint16_t load;
    uint16_t cpus;
    uint32_t workers;
    uint32_t memory_mib;
    uint64_t incarnation;
    uint64_t session;
    uint64_t sequence;
    uint64_t nonce;
    const uint8_t *node_id; /* 16 bytes */
    uint8_t name_length;
    uint8_t namespace_length;
    uint8_t version_length;
    uint8_t addresses;
    uint16_t text_length;
    const uint8_t *text;
};

/* Adds a key of 32 bytes; false: there are two already. */
bool drop_beacon_keys_add(struct drop_beacon_keys *keys, const uint8_t key[DROP_BEACON_KEY]);

/* Writes the packet and its tag with the first key; returns its length. The caller has checked the
 * text with drop_beacon_text_valid and gives room for DROP_BEACON_MAX bytes. */
size_t drop_beacon_encode(const struct drop_beacon *beacon, const struct drop_beacon_keys *keys,
                          uint8_t *bytes);

/* The look at the header and the decoding of the rest, without the tag. */
enum drop_beacon_verdict drop_beacon_decode(const uint8_t *bytes, size_t length,
                                            const struct drop_beacon_keys *keys,
                                            struct drop_beacon *beacon);

/* Whether the tag of a decoded packet is right. */
bool drop_beacon_verify(const uint8_t *bytes, size_t length, const struct drop_beacon_keys *keys,
                        const struct drop_beacon *beacon);

/* Whether lengths and bytes of name, namespace, version and addresses are as they must be. */
bool drop_beacon_text_valid(const struct drop_beacon *beacon);

#endif
