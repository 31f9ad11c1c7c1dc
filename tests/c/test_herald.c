/* The thread of the beacons with real sockets: what it says, whom it believes, what it counts. */
#include <pthread.h>

#include "herald_world.h"

static void test_it_greets_three_times(void)
{
    set_up();
    uint64_t session = drop_herald_session(world.herald);
    for (unsigned i = 1; i <= 5; i++) {
        REQUIRE(hear(DROP_BEACON_BEACON, 0));
        CHECK_EQUAL(world.heard.sequence, i);
        CHECK_EQUAL(world.heard.flags, i <= 3 ? DROP_BEACON_SOLICIT : 0);
        CHECK_EQUAL(world.heard.incarnation, 50);
        CHECK(world.heard.session == session);
        CHECK_BYTES(world.heard.node_id, DROP_BEACON_ID, "our own node id\0");
        CHECK_BYTES(world.heard.text, world.heard.text_length, BEACON_TEXT);
    }
    CHECK(statistics().sent >= 5 && statistics().send_errors == 0);
    tear_down();
}

static void test_a_node_is_met_by_challenge(void)
{
    struct drop_peer peer;
    uint64_t silent_ns;
    uint32_t cursor = 0;
    set_up();
    say(DROP_BEACON_BEACON, 0);
    REQUIRE(hear(DROP_BEACON_PROBE, 0));
    CHECK(!drop_herald_next(world.herald, true, &cursor, &peer, &silent_ns));
    cursor = 0;
    CHECK(drop_herald_next(world.herald, false, &cursor, &peer, &silent_ns));
    CHECK_EQUAL(take(&peer), DROP_PEERS_NOTHING);
    say(DROP_BEACON_BEACON, world.heard.nonce);
    REQUIRE(readable(drop_herald_event_fd(world.herald)));
    CHECK_EQUAL(take(&peer), DROP_PEERS_HEARD);
    CHECK_BYTES(peer.node_id, DROP_BEACON_ID, "the other's id!\0");
    CHECK_EQUAL(take(&peer), DROP_PEERS_NOTHING);
    struct pollfd event = {.fd = drop_herald_event_fd(world.herald), .events = POLLIN};
    CHECK_EQUAL(poll(&event, 1, 0), 0);
    cursor = 0;
    CHECK(drop_herald_next(world.herald, true, &cursor, &peer, &silent_ns));
    CHECK(!drop_herald_next(world.herald, true, &cursor, &peer, &silent_ns));
    tear_down();
}

static void test_it_asks_again_and_gives_up(void)
{
    struct drop_peer peer;
    uint64_t silent_ns;
    uint32_t cursor = 0;
    set_up();
    struct packet recorded = say(DROP_BEACON_BEACON, 0);
    for (unsigned i = 0; i < DROP_PEERS_ASKS_MAX; i++)
        REQUIRE(hear(DROP_BEACON_PROBE, 0));
    UNTIL(statistics().evicted == 1);
    CHECK(!drop_herald_next(world.herald, false, &cursor, &peer, &silent_ns));
    send_bytes(recorded.bytes, recorded.length);
    REQUIRE(hear(DROP_BEACON_PROBE, 0)); /* it may be asked anew, but lives no more than before */
    CHECK_EQUAL(take(&peer), DROP_PEERS_NOTHING);
    tear_down();
}

static void test_it_answers_a_challenge(void)
{
    set_up();
    say(DROP_BEACON_PROBE, 0x1234567890u);
    CHECK(hear(DROP_BEACON_BEACON, 0x1234567890u));
    tear_down();
}

static void test_it_answers_who_solicits(void)
{
    struct drop_place place;
    set_up();
    int first = world.node, second = open_socket(&place);
    world.node = second; /* which is no destination of the herald's */
    world.beacon.flags = DROP_BEACON_SOLICIT;
    say(DROP_BEACON_BEACON, 0);
    CHECK(hear(DROP_BEACON_BEACON, 0));
    CHECK_EQUAL(world.heard.flags, 0);
    world.node = first;
    close(second);
    tear_down();
}

static void test_every_reason_is_counted(void)
{
    set_up();
    meet();
    struct packet packet = say(DROP_BEACON_BEACON, 0), wrong;
    struct drop_beacon_keys theirs = keys_of(9, 0);
    send_bytes(packet.bytes, packet.length); /* replayed */
    send_bytes(packet.bytes, 40);            /* truncated */
    send_bytes(packet.bytes, 376);           /* oversized: longer than it says */
    send_bytes(packet.bytes, 0);             /* truncated */
    uint8_t large[2000] = "DRPB\x01";
    send_bytes(large, sizeof large); /* oversized */
    wrong = packet;
    wrong.bytes[0] = 'X';
    send_bytes(wrong.bytes, wrong.length);
    wrong = packet;
    wrong.bytes[4] = 2;
    send_bytes(wrong.bytes, wrong.length);
    wrong = packet;
    wrong.bytes[5] = 7;
    send_bytes(wrong.bytes, wrong.length);
    wrong = packet_of(&world.beacon, &theirs);
    send_bytes(wrong.bytes, wrong.length);
    wrong = packet_of(&world.beacon, &world.keys);
    wrong.bytes[wrong.length - 1] ^= 1;
    send_bytes(wrong.bytes, wrong.length);
    world.beacon.incarnation--;
    say(DROP_BEACON_BEACON, 0); /* stale */
    world.beacon.incarnation++;
    REQUIRE(hear(DROP_BEACON_BEACON, 0));
    send_bytes(world.received.bytes, world.received.length); /* own */
    UNTIL(statistics().received >= 15);
    struct drop_herald_statistics now = statistics();
    static const uint64_t expected[DROP_BEACON_VERDICTS] = {3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0, 1};
    for (unsigned i = 0; i < DROP_BEACON_VERDICTS; i++)
        CHECK_EQUAL(now.verdicts[i], expected[i]);
    CHECK_EQUAL(now.received, 15);
    tear_down();
}

static void test_who_leaves_is_told(void)
{
    struct drop_peer peer;
    set_up();
    meet();
    CHECK_EQUAL(take(&peer), DROP_PEERS_HEARD);
    say(DROP_BEACON_LEAVE, 0);
    REQUIRE(readable(drop_herald_event_fd(world.herald)));
    CHECK_EQUAL(take(&peer), DROP_PEERS_LEFT);
    CHECK_EQUAL(peer.life.incarnation, world.beacon.incarnation);
    tear_down();
}

static void test_it_leaves_and_says_no_more(void)
{
    set_up();
    meet();
    drop_herald_leave(world.herald);
    for (unsigned i = 0; i < DROP_HERALD_LEAVES; i++)
        CHECK(hear(DROP_BEACON_LEAVE, 0));
    uint64_t sent = statistics().sent, received = statistics().received;
    say(DROP_BEACON_PROBE, 5);
    while (statistics().received == received)
        sched_yield();
    CHECK(statistics().sent == sent);
    uint64_t session = drop_herald_session(world.herald);
    CHECK_EQUAL(drop_herald_set_identity(world.herald, own_id, 51), 0);
    CHECK(hear(DROP_BEACON_BEACON, 0)); /* in another life it speaks */
    CHECK_EQUAL(world.heard.incarnation, 51);
    CHECK_EQUAL(world.heard.sequence, 1);
    CHECK(world.heard.session != session);
    tear_down();
}

static void test_a_clone_is_a_conflict(void)
{
    struct drop_peers_conflict conflict;
    set_up();
    world.beacon.node_id = own_id;
    meet();
    CHECK(drop_herald_take_conflict(world.herald, &conflict));
    CHECK_EQUAL(conflict.incarnation, 10);
    CHECK_EQUAL(conflict.session, 77);
    CHECK(!drop_herald_take_conflict(world.herald, &conflict));
    tear_down();
}

static void test_silence_and_probe(void)
{
    uint8_t id[DROP_BEACON_ID];
    uint64_t silent_ns = 0;
    uint32_t cursor = 0;
    set_up();
    CHECK(!drop_herald_probe(world.herald, node_id));
    meet();
    UNTIL((cursor = 0,
           drop_herald_next_silent(world.herald, 30 * MS, &cursor, id, &silent_ns)));
    CHECK(silent_ns >= 30 * MS);
    CHECK_BYTES(id, sizeof id, "the other's id!\0");
    CHECK(drop_herald_probe(world.herald, node_id));
    REQUIRE(hear(DROP_BEACON_PROBE, 0));
    say(DROP_BEACON_BEACON, world.heard.nonce);
    UNTIL(statistics().verdicts[DROP_BEACON_ACCEPTED] == 3);
    cursor = 0;
    CHECK(!drop_herald_next_silent(world.herald, WAIT_MS * MS, &cursor, id, &silent_ns));
    CHECK(drop_herald_forget(world.herald, node_id));
    CHECK(!drop_herald_forget(world.herald, node_id));
    tear_down();
}

static void test_a_node_that_hangs_says_nothing(void)
{
    set_up();
    REQUIRE(hear(DROP_BEACON_BEACON, 0));
    pthread_mutex_lock(&world.herald->mutex);
    world.herald->vouched_at -= 2 * DROP_HERALD_VOUCH_NS;
    uint64_t sent = world.herald->counters.sent;
    pthread_mutex_unlock(&world.herald->mutex);
    CHECK(statistics().is_hung);
    for (unsigned i = 1; i <= 3; i++) {
        uint64_t received = statistics().received;
        say(DROP_BEACON_PROBE, i);
        while (statistics().received == received)
            sched_yield();
    }
    CHECK(statistics().sent == sent);
    drop_herald_vouch(world.herald);
    CHECK(!statistics().is_hung);
    UNTIL(statistics().sent > sent);
    tear_down();
}

static void test_sends_that_fail_are_counted(void)
{
    struct drop_place place, broadcast;
    set_up();
    int fd = open_socket(&place);
    broadcast = place;
    broadcast.address.v4.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    struct drop_place both[2] = {broadcast, broadcast};
    socklen_t length = sizeof both[1].address.v4;
    getsockname(world.node, &both[1].address.any, &length);
    struct drop_herald_socket line = {.fd = fd, .destinations = both, .count = 2};
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, &line, 1, false), 0);
    UNTIL(statistics().send_errors >= 2); /* and the other destination gets its beacons */
    CHECK_EQUAL(statistics().last_errno, EACCES);
    tear_down();
}

static void test_sockets_change_as_a_whole(void)
{
    struct drop_place place, node;
    set_up();
    socklen_t length = sizeof node.address.v4;
    getsockname(world.node, &node.address.any, &length);
    struct drop_herald_socket wrong[2] = {{.fd = world.fd}, {.fd = -1}};
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, wrong, 2, false), EBADF);
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, wrong, 9, false), E2BIG);
    wrong[1].fd = drop_herald_event_fd(world.herald);
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, wrong, 2, false), ENOTSOCK);
    wrong[1].fd = world.fd;
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, wrong, 2, false), EEXIST);
    node.address.any.sa_family = AF_INET6;
    CHECK_EQUAL(use_socket(world.fd, &node), EAFNOSUPPORT);
    node.address.any.sa_family = AF_INET;
    meet(); /* the old one still works */
    int second = open_socket(&place);
    CHECK_EQUAL(use_socket(second, &node), 0);
    CHECK(fcntl(world.fd, F_GETFD) < 0 && fcntl(second, F_GETFD) >= 0);
    world.place = place;
    say(DROP_BEACON_PROBE, 99);
    CHECK(hear(DROP_BEACON_BEACON, 99));
    CHECK_EQUAL(use_socket(second, &node), 0); /* the same again stays open */
    say(DROP_BEACON_PROBE, 98);
    CHECK(hear(DROP_BEACON_BEACON, 98));
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, NULL, 0, false), 0);
    CHECK(fcntl(second, F_GETFD) < 0);
    tear_down();
}

static void test_its_life(void)
{
    struct drop_herald *herald;
    CHECK_EQUAL(drop_herald_open(&herald, own_id, 1, 9, 16), EINVAL);
    CHECK_EQUAL(drop_herald_open(&herald, own_id, 1, 100, 0), EINVAL);
    CHECK_EQUAL(drop_herald_open(&herald, own_id, 0, 100, 16), EINVAL);
    CHECK(!herald);
    set_up();
    CHECK_EQUAL(drop_herald_start(world.herald), EALREADY);
    drop_herald_stop(world.herald);
    drop_herald_stop(world.herald);
    CHECK_EQUAL(drop_herald_start(world.herald), ESHUTDOWN);
    CHECK(fcntl(world.fd, F_GETFD) < 0);
    CHECK_EQUAL(drop_herald_set_sockets(world.herald, NULL, 0, false), ESHUTDOWN);
    CHECK_EQUAL(announce_name("node 1default0.4.0\x04\x0a\x00\x00\x01"), EINVAL);
    tear_down();
}

/* Several threads call everything while packets come in: for the thread sanitizer. */
static void *call(void *argument)
{
    struct drop_herald *herald = argument;
    struct drop_herald_load load = {.load = 1, .cpus = 2, .workers = 3, .memory_mib = 4};
    struct drop_peer peer;
    uint64_t silent_ns;
    for (int i = 0; i < 200; i++) {
        uint32_t cursor = 0;
        drop_herald_set_load(herald, &load);
        drop_herald_vouch(herald);
        announce_name(i % 2 ? BEACON_TEXT : "node-2default0.4.0\x04\x0a\x00\x00\x01");
        while (drop_herald_next(herald, true, &cursor, &peer, &silent_ns))
            drop_herald_probe(herald, peer.node_id);
        drop_herald_take(herald, &peer, &silent_ns);
        if (i % 50 == 0)
            drop_herald_set_identity(herald, own_id, (uint64_t)i + 60);
    }
    return NULL;
}

static void test_many_callers(void)
{
    pthread_t callers[3];
    set_up();
    meet();
    for (unsigned i = 0; i < 3; i++)
        REQUIRE(pthread_create(&callers[i], NULL, call, world.herald) == 0);
    for (unsigned i = 0; i < 500; i++)
        say(DROP_BEACON_BEACON, 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(callers[i], NULL);
    CHECK(statistics().received > 2);
    tear_down();
}

int main(void)
{
    RUN(test_it_greets_three_times);
    RUN(test_a_node_is_met_by_challenge);
    RUN(test_it_asks_again_and_gives_up);
    RUN(test_it_answers_a_challenge);
    RUN(test_it_answers_who_solicits);
    RUN(test_every_reason_is_counted);
    RUN(test_who_leaves_is_told);
    RUN(test_it_leaves_and_says_no_more);
    RUN(test_a_clone_is_a_conflict);
    RUN(test_silence_and_probe);
    RUN(test_a_node_that_hangs_says_nothing);
    RUN(test_sends_that_fail_are_counted);
    RUN(test_sockets_change_as_a_whole);
    RUN(test_its_life);
    RUN(test_many_callers);
    return check_summary();
}
