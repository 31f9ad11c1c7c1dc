#include "beacon.h"

#include <assert.h>
#include <string.h>

#include "frame.h"

/* Where the fields are. */
enum {
    AT_VERSION = 4,
    AT_TYPE = 5,
    AT_LENGTH = 6,
    AT_KEY = 8,
    AT_FLAGS = 12,
    AT_PORT = 14,
    AT_NODE = 16,
    AT_INCARNATION = 32,
    AT_SESSION = 40,
    AT_SEQUENCE = 48,
    AT_NONCE = 56,
    AT_LOAD = 64,
    AT_CPUS = 66,
    AT_WORKERS = 68,
    AT_MEMORY = 72,
    AT_LENGTHS = 76,
};

static const char magic[4] = {'D', 'R', 'P', 'B'};
static const uint8_t nobody[DROP_BEACON_ID];

static inline uint16_t get_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t get_u32(const uint8_t *bytes)
{
    return drop_get_u32((const char *)bytes);
}

static inline uint64_t get_u64(const uint8_t *bytes)
{
    return drop_get_u64((const char *)bytes);
}

static inline void put_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

static inline void put_u32(uint8_t *bytes, uint32_t value)
{
    drop_put_u32((char *)bytes, value);
}

static inline void put_u64(uint8_t *bytes, uint64_t value)
{
    drop_put_u64((char *)bytes, value);
}

/* ---- keys ---- */

bool drop_beacon_keys_add(struct drop_beacon_keys *keys, const uint8_t key[DROP_BEACON_KEY])
{
    if (keys->count == DROP_BEACON_KEYS_MAX)
        return false;
    struct drop_beacon_key *made = &keys->keys[keys->count++];
    struct drop_blake2s hash;
    uint8_t digest[DROP_BLAKE2S_OUT_MAX];
    drop_blake2s_start(&hash, sizeof digest, NULL, 0, "DROP key");
    drop_blake2s_finish(&hash, key, DROP_BEACON_KEY, digest);
    memcpy(made->id, digest, sizeof made->id);
    drop_blake2s_start(&made->state, DROP_BEACON_TAG, key, DROP_BEACON_KEY, NULL);
    return true;
}

/* ---- the text ---- */

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-' || byte == '.';
}

static bool are_printable(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return false;
    return true;
}

/* They end where the text ends. */
static bool addresses_fit(const uint8_t *bytes, size_t length, unsigned count)
{
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        if (at == length || (bytes[at] != 4 && bytes[at] != 6))
            return false;
        at += bytes[at] == 4 ? 5 : 17;
        if (at > length)
            return false;
    }
    return at == length;
}

bool drop_beacon_text_valid(const struct drop_beacon *beacon)
{
    size_t name = beacon->name_length, rest = beacon->namespace_length + beacon->version_length;
    if (name < 1 || name > DROP_BEACON_NAME_MAX ||
        beacon->namespace_length > DROP_BEACON_NAMESPACE_MAX ||
        beacon->version_length > DROP_BEACON_VERSION_MAX ||
        beacon->addresses > DROP_BEACON_ADDRESSES_MAX || beacon->text_length < name + rest)
        return false;
    for (size_t i = 0; i < name; i++)
        if (!is_name_byte(beacon->text[i]))
            return false;
    return are_printable(beacon->text + name, rest) &&
           addresses_fit(beacon->text + name + rest, beacon->text_length - name - rest,
                         beacon->addresses);
}

/* ---- out ---- */

size_t drop_beacon_encode(const struct drop_beacon *beacon, const struct drop_beacon_keys *keys,
                          uint8_t *bytes)
{
    assert(keys->count > 0 && drop_beacon_text_valid(beacon));
    size_t signed_length = DROP_BEACON_FIXED + beacon->text_length;
    memcpy(bytes, magic, sizeof magic);
    bytes[AT_VERSION] = DROP_BEACON_VERSION;
    bytes[AT_TYPE] = beacon->type;
    put_u16(bytes + AT_LENGTH, (uint16_t)(signed_length + DROP_BEACON_TAG));
    memcpy(bytes + AT_KEY, keys->keys[0].id, sizeof keys->keys[0].id);
    put_u16(bytes + AT_FLAGS, beacon->flags);
    put_u16(bytes + AT_PORT, beacon->port);
    memcpy(bytes + AT_NODE, beacon->node_id, DROP_BEACON_ID);
    put_u64(bytes + AT_INCARNATION, beacon->incarnation);
    put_u64(bytes + AT_SESSION, beacon->session);
    put_u64(bytes + AT_SEQUENCE, beacon->sequence);
    put_u64(bytes + AT_NONCE, beacon->nonce);
    put_u16(bytes + AT_LOAD, beacon->load);
    put_u16(bytes + AT_CPUS, beacon->cpus);
    put_u32(bytes + AT_WORKERS, beacon->workers);
    put_u32(bytes + AT_MEMORY, beacon->memory_mib);
    bytes[AT_LENGTHS] = beacon->name_length;
    bytes[AT_LENGTHS + 1] = beacon->namespace_length;
    bytes[AT_LENGTHS + 2] = beacon->version_length;
    bytes[AT_LENGTHS + 3] = beacon->addresses;
    memcpy(bytes + DROP_BEACON_FIXED, beacon->text, beacon->text_length);
    drop_blake2s_finish(&keys->keys[0].state, bytes, signed_length, bytes + signed_length);
    return signed_length + DROP_BEACON_TAG;
}

/* ---- in ---- */

static enum drop_beacon_verdict look(const uint8_t *bytes, size_t length,
                                     const struct drop_beacon_keys *keys, uint8_t *key)
{
    if (length < DROP_BEACON_HEADER)
        return DROP_BEACON_TRUNCATED;
    if (length > DROP_BEACON_MAX)
        return DROP_BEACON_OVERSIZED;
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return DROP_BEACON_NO_MAGIC;
    if (bytes[AT_VERSION] != DROP_BEACON_VERSION)
        return DROP_BEACON_OTHER_VERSION;
    size_t said = get_u16(bytes + AT_LENGTH);
    if (length < said || length < DROP_BEACON_MIN)
        return DROP_BEACON_TRUNCATED;
    if (length > said)
        return DROP_BEACON_OVERSIZED;
    for (*key = 0; *key < keys->count; ++*key)
        if (memcmp(bytes + AT_KEY, keys->keys[*key].id, sizeof keys->keys[*key].id) == 0)
            return DROP_BEACON_ACCEPTED;
    return DROP_BEACON_FOREIGN;
}

/* What a type asks of the fields. */
static bool fields_valid(const struct drop_beacon *beacon)
{
    switch (beacon->type) {
    case DROP_BEACON_BEACON:
        break;
    case DROP_BEACON_PROBE:
        if (beacon->nonce == 0)
            return false;
        break;
    case DROP_BEACON_LEAVE:
        if (beacon->nonce != 0)
            return false;
        break;
    default:
        return false;
    }
    return (beacon->flags & ~DROP_BEACON_SOLICIT) == 0 && beacon->incarnation != 0 &&
           beacon->sequence != 0 && memcmp(beacon->node_id, nobody, sizeof nobody) != 0;
}

enum drop_beacon_verdict drop_beacon_decode(const uint8_t *bytes, size_t length,
                                            const struct drop_beacon_keys *keys,
                                            struct drop_beacon *beacon)
{
    enum drop_beacon_verdict verdict = look(bytes, length, keys, &beacon->key);
    if (verdict != DROP_BEACON_ACCEPTED)
        return verdict;
    beacon->type = bytes[AT_TYPE];
    beacon->flags = get_u16(bytes + AT_FLAGS);
    beacon->port = get_u16(bytes + AT_PORT);
    beacon->node_id = bytes + AT_NODE;
    beacon->incarnation = get_u64(bytes + AT_INCARNATION);
    beacon->session = get_u64(bytes + AT_SESSION);
    beacon->sequence = get_u64(bytes + AT_SEQUENCE);
    beacon->nonce = get_u64(bytes + AT_NONCE);
    beacon->load = get_u16(bytes + AT_LOAD);
    beacon->cpus = get_u16(bytes + AT_CPUS);
    beacon->workers = get_u32(bytes + AT_WORKERS);
    beacon->memory_mib = get_u32(bytes + AT_MEMORY);
    beacon->name_length = bytes[AT_LENGTHS];
    beacon->namespace_length = bytes[AT_LENGTHS + 1];
    beacon->version_length = bytes[AT_LENGTHS + 2];
    beacon->addresses = bytes[AT_LENGTHS + 3];
    beacon->text = bytes + DROP_BEACON_FIXED;
    beacon->text_length = (uint16_t)(length - DROP_BEACON_FIXED - DROP_BEACON_TAG);
    return fields_valid(beacon) && drop_beacon_text_valid(beacon) ? DROP_BEACON_ACCEPTED
                                                                  : DROP_BEACON_MALFORMED;
}

bool drop_beacon_verify(const uint8_t *bytes, size_t length, const struct drop_beacon_keys *keys,
                        const struct drop_beacon *beacon)
{
    uint8_t tag[DROP_BEACON_TAG];
    size_t signed_length = length - DROP_BEACON_TAG;
    drop_blake2s_finish(&keys->keys[beacon->key].state, bytes, signed_length, tag);
    return drop_blake2s_equal(tag, bytes + signed_length, sizeof tag);
}
