/* The table of peers: what is news, what makes room, and that nothing is lost in it. */
#include "peers_world.h"

static void test_only_content_is_news(void)
{
    set_up();
    meet(10, 77);
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    world.beacon.load = 999;
    world.beacon.workers = 1;
    world.beacon.memory_mib = 2;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    CHECK(peer()->load == 999 && peer()->workers == 1 && peer()->memory_mib == 2);
    world.beacon.port = 1;
    say();
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    world.beacon.text = (const uint8_t *)"node-2default0.4.0\x04\x0a\x00\x00\x01";
    say();
    world.beacon.text = (const uint8_t *)"node-2default0.4.0\x04\x0a\x00\x00\x02";
    say();
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD); /* once, as it is now */
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    CHECK_EQUAL(peer()->text.bytes[22], 2);
    world.beacon.name_length = 5; /* the same bytes mean something else */
    world.beacon.namespace_length = 8;
    say();
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    tear_down();
}

static void test_forged_packets_change_nothing(void)
{
    set_up();
    meet(10, 77);
    taken();
    struct drop_peer before = *peer();
    world.beacon.port = 1;
    world.beacon.sequence = 1000;
    struct packet packet = packet_of(&world.beacon, &world.keys);
    packet.bytes[packet.length - 1] ^= 1;
    CHECK_EQUAL(receive(&packet), DROP_BEACON_FORGED);
    CHECK(memcmp(&before, peer(), sizeof before) == 0);
    memset(packet.bytes + 16, 'z', DROP_BEACON_ID);
    CHECK_EQUAL(receive(&packet), DROP_BEACON_FORGED);
    CHECK_EQUAL(world.peers.used, 1);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    tear_down();
}

static void name(unsigned number)
{
    memset(world.id, (int)number, sizeof world.id);
}

static void test_a_full_table(void)
{
    set_up();
    for (unsigned i = 1; i <= CAPACITY; i++) {
        name(i);
        world.now++;
        if (i == 3 || i == 5)
            say_sequence(1);
        else
            meet(10, 77);
    }
    name(100);
    CHECK_EQUAL(say_sequence(1), DROP_BEACON_ACCEPTED); /* the oldest stranger makes room */
    CHECK(peer());
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    name(3);
    CHECK(!peer());
    name(101);
    meet(10, 77); /* the other stranger */
    name(5);
    CHECK(!peer());
    CHECK_EQUAL(world.peers.evicted, 2);
    name(102);
    CHECK_EQUAL(say_sequence(1), DROP_BEACON_FULL);
    CHECK(!world.outcome.challenge && !peer());
    name(4);
    world.beacon.type = DROP_BEACON_LEAVE;
    CHECK_EQUAL(say_sequence(9), DROP_BEACON_ACCEPTED);
    world.beacon.type = DROP_BEACON_BEACON;
    name(102);
    CHECK_EQUAL(say_sequence(1), DROP_BEACON_ACCEPTED); /* who has left makes room */
    CHECK_EQUAL(world.peers.lost, 1);                   /* nobody had taken that */
    name(4);
    CHECK(!peer());
    tear_down();
}

/* The index stays right whatever is taken out of it. */
static void test_forgetting(void)
{
    set_up();
    uint64_t random = 88172645463325252u;
    bool known[40] = {false};
    for (unsigned step = 0; step < 20000; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned number = (unsigned)(random % 40);
        name(number + 1);
        if (known[number]) {
            REQUIRE(peer());
            drop_peers_forget(&world.peers, peer());
        } else if (world.peers.used < CAPACITY) {
            world.beacon.incarnation = 10;
            if (random >> 40 & 1)
                meet(10, 77);
            else
                say_sequence(1);
        } else {
            continue;
        }
        known[number] = !known[number];
        for (unsigned i = 0; i < 40; i++) {
            name(i + 1);
            CHECK_EQUAL(peer() != NULL, known[i]);
        }
    }
    uint32_t news = 0, there = 0;
    while (taken() == DROP_PEERS_HEARD)
        news++;
    for (unsigned i = 0; i < 40; i++) {
        name(i + 1);
        there += is_there();
    }
    CHECK_EQUAL(news, there);
    tear_down();
}

int main(void)
{
    RUN(test_only_content_is_news);
    RUN(test_forged_packets_change_nothing);
    RUN(test_a_full_table);
    RUN(test_forgetting);
    return check_summary();
}
