/* The thread of the beacons under floods: its budget, the filter, and who is heard all the same. */
#include "herald_world.h"

#define BATCH 64

/* Sends a packet many times at once; what the queue does not hold is dropped, as in a flood. */
static void pour(const struct packet *packet)
{
    struct mmsghdr messages[BATCH];
    struct iovec vector = {(void *)packet->bytes, packet->length};
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &world.place.address.v4,
                                              .msg_namelen = sizeof world.place.address.v4,
                                              .msg_iov = &vector,
                                              .msg_iovlen = 1};
    if (sendmmsg(world.node, messages, BATCH, 0) != BATCH)
        abort();
}

/* Limits that a sanitizer's build on a busy machine can reach, too. */
static void lower(uint32_t budget, uint64_t bad_max)
{
    pthread_mutex_lock(&world.herald->mutex);
    world.herald->budget = budget;
    world.herald->bad_max = bad_max;
    pthread_mutex_unlock(&world.herald->mutex);
}

static struct packet foreign_packet(void)
{
    struct drop_beacon_keys theirs = keys_of(9, 0);
    return packet_of(&world.beacon, &theirs);
}

static struct packet forged_packet(void)
{
    struct packet packet = packet_of(&world.beacon, &world.keys);
    packet.bytes[packet.length - 1] ^= 1;
    return packet;
}

static void test_foreign_packets_are_filtered_by_the_kernel(void)
{
    set_up();
    lower(DROP_HERALD_BUDGET, 500);
    struct packet packet = foreign_packet();
    while (!statistics().is_filtered)
        pour(&packet);
    uint64_t filtered = statistics().kernel_filtered, received = statistics().received;
    while (statistics().kernel_filtered == filtered)
        pour(&packet);
    CHECK(statistics().received - received < 20000); /* what was in the queue, and our own pace */
    meet(); /* who is one of us passes */
    UNTIL(!statistics().is_filtered);
    received = statistics().received;
    send_bytes(packet.bytes, packet.length);
    UNTIL(statistics().received > received);
    tear_down();
}

static void test_new_keys_come_to_the_filter(void)
{
    set_up();
    lower(DROP_HERALD_BUDGET, 500);
    struct packet packet = foreign_packet();
    while (!statistics().is_filtered)
        pour(&packet);
    world.keys = keys_of(1, 5);
    drop_herald_set_keys(world.herald, &world.keys);
    CHECK(statistics().is_filtered);
    struct drop_beacon_keys second = keys_of(5, 0);
    world.beacon.type = DROP_BEACON_PROBE;
    world.beacon.nonce = 4711;
    struct packet probe = packet_of(&world.beacon, &second);
    send_bytes(probe.bytes, probe.length);
    CHECK(hear(DROP_BEACON_BEACON, 4711));
    tear_down();
}

static void test_a_budget_bounds_what_is_read(void)
{
    set_up();
    lower(20, UINT64_MAX);
    struct packet packet = forged_packet();
    while (statistics().paused < 5)
        pour(&packet);
    struct drop_herald_statistics now = statistics();
    CHECK(now.verdicts[DROP_BEACON_FORGED] >= 20 * now.paused);
    CHECK_EQUAL(now.is_filtered, false);
    while (!statistics().is_deaf) /* the queue overflows at last */
        pour(&packet);
    CHECK(statistics().kernel_dropped > 0);
    UNTIL(!statistics().is_deaf);
    meet();
    tear_down();
}

int main(void)
{
    RUN(test_foreign_packets_are_filtered_by_the_kernel);
    RUN(test_new_keys_come_to_the_filter);
    RUN(test_a_budget_bounds_what_is_read);
    return check_summary();
}
