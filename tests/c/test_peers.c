/* Verdicts: what each packet of a story is worth, and what is known after it. */
#include "peers_world.h"

static void test_a_node_is_met_by_challenge(void)
{
    set_up();
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.challenge && world.outcome.nonce != 0 && !world.outcome.is_verified);
    CHECK(peer() && !is_there());
    CHECK(!drop_peers_has_news(&world.peers));
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(is_there() && world.outcome.is_verified && !world.outcome.challenge);
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    CHECK(!drop_peers_has_news(&world.peers));
    tear_down();
}

static void test_a_wrong_echo_proves_nothing(void)
{
    set_up();
    say();
    world.beacon.nonce = world.outcome.nonce + 1;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!is_there());
    /* nor does the echo of another life, or in a probe, which is a question */
    world.beacon.nonce = world.outcome.nonce;
    say_sequence(5);
    world.now += 2 * INTERVAL;
    uint32_t cursor = 0;
    uint64_t nonce;
    CHECK(drop_peers_next_asked(&world.peers, world.now, &cursor, &nonce) == peer());
    world.beacon.nonce = nonce;
    world.beacon.type = DROP_BEACON_PROBE;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!is_there() && world.outcome.asks);
    CHECK(world.outcome.echo == nonce);
    world.beacon.type = DROP_BEACON_BEACON;
    world.beacon.session++;
    say();
    CHECK(!is_there());
    tear_down();
}

/* Sequences as they arrive, and what becomes of each. */
static const struct {
    uint64_t sequence;
    enum drop_beacon_verdict verdict;
} window[] = {
    {100, DROP_BEACON_ACCEPTED}, {100, DROP_BEACON_REPLAYED}, {99, DROP_BEACON_ACCEPTED},
    {99, DROP_BEACON_REPLAYED},  {37, DROP_BEACON_ACCEPTED},  {37, DROP_BEACON_REPLAYED},
    {36, DROP_BEACON_REPLAYED},  {101, DROP_BEACON_ACCEPTED}, {37, DROP_BEACON_REPLAYED},
    {38, DROP_BEACON_ACCEPTED},  {163, DROP_BEACON_ACCEPTED}, {101, DROP_BEACON_REPLAYED},
    {102, DROP_BEACON_ACCEPTED}, {227, DROP_BEACON_ACCEPTED}, {163, DROP_BEACON_REPLAYED},
    {164, DROP_BEACON_ACCEPTED}, {164, DROP_BEACON_REPLAYED}, {UINT64_MAX, DROP_BEACON_ACCEPTED},
    {227, DROP_BEACON_REPLAYED}, {1, DROP_BEACON_REPLAYED}, {UINT64_MAX, DROP_BEACON_REPLAYED},
    {UINT64_MAX - 63, DROP_BEACON_ACCEPTED}, {UINT64_MAX - 64, DROP_BEACON_REPLAYED},
};

static void test_the_window(void)
{
    set_up();
    meet(10, 77);
    for (size_t i = 0; i < sizeof window / sizeof *window; i++)
        CHECK_EQUAL(say_sequence(window[i].sequence), window[i].verdict);
    tear_down();
}

/* A life is known; another one says something. */
static const struct {
    uint64_t incarnation, session;
    enum drop_beacon_verdict verdict;
    bool challenged;
} lives[] = {
    {10, 77, DROP_BEACON_ACCEPTED, false}, {9, 77, DROP_BEACON_STALE, false},
    {9, 99, DROP_BEACON_STALE, false},     {10, 76, DROP_BEACON_STALE, false},
    {10, 78, DROP_BEACON_ACCEPTED, true},  {11, 1, DROP_BEACON_ACCEPTED, true},
};

static void test_lives(void)
{
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        set_up();
        meet(10, 77);
        taken();
        world.beacon.incarnation = lives[i].incarnation;
        world.beacon.session = lives[i].session;
        CHECK_EQUAL(say(), lives[i].verdict);
        CHECK_EQUAL(world.outcome.challenge, lives[i].challenged);
        CHECK(is_there() && peer()->life.incarnation == 10 && peer()->life.session == 77);
        if (lives[i].challenged) {
            CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
            CHECK(peer()->life.incarnation == lives[i].incarnation);
            CHECK(peer()->life.session == lives[i].session);
            CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
        }
        CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
        tear_down();
    }
}

/* What was sent before a node died, in order, to somebody who has restarted since. */
static void test_a_recording_brings_nobody_to_life(void)
{
    set_up();
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
        CHECK(!is_there());
    }
    CHECK_EQUAL(say_sequence(100), DROP_BEACON_REPLAYED);
    unsigned asked = 1;
    for (; peer(); asked++) {
        uint32_t cursor = 0;
        uint64_t nonce;
        world.now += INTERVAL;
        if (!drop_peers_next_asked(&world.peers, world.now, &cursor, &nonce))
            break;
    }
    CHECK_EQUAL(asked, DROP_PEERS_ASKS_MAX);
    CHECK(!peer());
    CHECK_EQUAL(world.peers.evicted, 1);
    CHECK_EQUAL(world.peers.used, 0);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    tear_down();
}

/* One that was lost, and that somebody sends again later: it says nothing about now. */
static void test_a_late_packet_is_no_sign_of_life(void)
{
    set_up();
    meet(10, 77);
    taken();
    uint64_t lost = world.beacon.sequence + 1;
    CHECK_EQUAL(say_sequence(lost + 1), DROP_BEACON_ACCEPTED);
    uint64_t heard_at = peer()->heard_at;
    uint16_t port = peer()->port;
    world.now += INTERVAL;
    world.beacon.port++;
    CHECK_EQUAL(say_sequence(lost), DROP_BEACON_ACCEPTED);
    CHECK(peer()->heard_at == heard_at && peer()->port == port);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    CHECK_EQUAL(say_sequence(lost), DROP_BEACON_REPLAYED);
    tear_down();
}

/* What was held back of a node's packets and comes after it has died. */
static void test_after_silence_a_life_must_echo_again(void)
{
    set_up();
    meet(10, 77);
    taken();
    world.now += DROP_PEERS_DOUBT * INTERVAL;
    uint64_t heard_at = world.now;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!world.outcome.challenge && peer()->heard_at == heard_at);
    world.now += DROP_PEERS_DOUBT * INTERVAL + 1;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.challenge && !world.outcome.is_verified);
    uint64_t nonce = world.outcome.nonce;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!world.outcome.challenge); /* it has been asked */
    CHECK(peer()->heard_at == heard_at && is_there());
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    world.outcome.nonce = nonce;
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(peer()->heard_at == world.now);
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    tear_down();
}

static void test_a_verified_peer_that_does_not_answer_stays(void)
{
    set_up();
    meet(10, 77);
    world.now += 10 * INTERVAL;
    say();
    for (unsigned i = 0; i < 2 * DROP_PEERS_ASKS_MAX; i++) {
        uint32_t cursor = 0;
        uint64_t nonce;
        world.now += INTERVAL;
        drop_peers_next_asked(&world.peers, world.now, &cursor, &nonce);
    }
    CHECK(is_there());
    CHECK_EQUAL(peer()->asks, 0);
    CHECK_EQUAL(world.peers.evicted, 0);
    say();
    CHECK(world.outcome.challenge); /* who speaks again is asked again */
    tear_down();
}

static void test_an_old_challenge_is_worth_nothing(void)
{
    set_up();
    say();
    world.now += 2 * DROP_PEERS_EPOCH * INTERVAL;
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(!is_there());
    tear_down();
}

/* Recordings of a later life (a clone that has gone) do not keep the living one out. */
static void test_recordings_do_not_hide_a_life(void)
{
    set_up();
    world.beacon.incarnation = 90;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    world.beacon.incarnation = 10;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!world.outcome.challenge); /* too soon after the other */
    world.now += INTERVAL / 4;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.challenge);
    uint64_t nonce = world.outcome.nonce;
    world.beacon.incarnation = 90;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    world.beacon.incarnation = 10;
    world.outcome.nonce = nonce;
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(is_there() && peer()->life.incarnation == 10);
    tear_down();
}

static void test_leaving(void)
{
    set_up();
    meet(10, 77);
    world.beacon.type = DROP_BEACON_LEAVE;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!is_there() && peer()->has_left);
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    CHECK_EQUAL(taken(), DROP_PEERS_LEFT);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED); /* said three times, told once */
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    world.beacon.type = DROP_BEACON_BEACON;
    CHECK_EQUAL(say(), DROP_BEACON_STALE); /* a beacon that the LEAVE has overtaken */
    world.beacon.session = 99;
    CHECK_EQUAL(say(), DROP_BEACON_STALE); /* the same incarnation does not come back */
    meet(11, 5);
    CHECK(is_there());
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    tear_down();
}

static void test_strangers_do_not_leave(void)
{
    set_up();
    world.beacon.type = DROP_BEACON_LEAVE;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(!peer() && !world.outcome.challenge);
    world.beacon.type = DROP_BEACON_BEACON;
    meet(10, 77);
    taken();
    world.beacon.type = DROP_BEACON_LEAVE;
    world.beacon.incarnation = 11;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(is_there());
    CHECK_EQUAL(taken(), DROP_PEERS_NOTHING);
    tear_down();
}

static void test_our_own_packets(void)
{
    set_up();
    memcpy(world.id, own, sizeof own);
    world.beacon.incarnation = 50;
    world.beacon.session = 51;
    CHECK_EQUAL(say(), DROP_BEACON_OWN);
    CHECK_EQUAL(world.peers.used, 0);
    tear_down();
}

static void test_a_clone_is_a_conflict_when_it_echoes(void)
{
    struct drop_peers_conflict conflict;
    set_up();
    memcpy(world.id, own, sizeof own);
    world.beacon.incarnation = 40; /* lower than ours: it is a conflict all the same */
    say();
    CHECK(world.outcome.challenge);
    CHECK(!drop_peers_take_conflict(&world.peers, &conflict));
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(drop_peers_has_news(&world.peers) && !is_there());
    CHECK(drop_peers_take_conflict(&world.peers, &conflict));
    CHECK(conflict.incarnation == 40 && conflict.session == 77);
    CHECK(!drop_peers_take_conflict(&world.peers, &conflict));
    CHECK(!peer()); /* told and forgotten: the next one, of any incarnation, is met anew */
    world.beacon.incarnation = 30;
    world.beacon.session = 78;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.challenge);
    CHECK_EQUAL(echo(), DROP_BEACON_ACCEPTED);
    CHECK(drop_peers_take_conflict(&world.peers, &conflict));
    CHECK(conflict.incarnation == 30 && conflict.session == 78);
    /* We raise our incarnation: one that we were asking is met anew. */
    say();
    CHECK(peer() != NULL);
    drop_peers_set_identity(&world.peers, own, 60, 61);
    CHECK(!peer());
    /* We take another id: who has the old one is a node like others. */
    drop_peers_set_identity(&world.peers, (const uint8_t *)"another node id", 60, 62);
    CHECK(!peer());
    meet(40, 77);
    CHECK(is_there());
    CHECK_EQUAL(taken(), DROP_PEERS_HEARD);
    tear_down();
}

static void test_solicit_and_keys(void)
{
    set_up();
    world.beacon.flags = DROP_BEACON_SOLICIT;
    CHECK_EQUAL(say(), DROP_BEACON_ACCEPTED);
    CHECK(world.outcome.solicits);
    struct drop_beacon_keys theirs = keys_of(2, 0);
    struct packet packet = packet_of(&world.beacon, &theirs);
    CHECK_EQUAL(receive(&packet), DROP_BEACON_FOREIGN);
    CHECK(!world.outcome.solicits);
    world.keys = keys_of(1, 2);
    CHECK_EQUAL(receive(&packet), DROP_BEACON_ACCEPTED);
    CHECK(memcmp(peer()->key_id, theirs.keys[0].id, 4) == 0);
    tear_down();
}

int main(void)
{
    RUN(test_a_node_is_met_by_challenge);
    RUN(test_a_wrong_echo_proves_nothing);
    RUN(test_the_window);
    RUN(test_lives);
    RUN(test_a_recording_brings_nobody_to_life);
    RUN(test_a_late_packet_is_no_sign_of_life);
    RUN(test_after_silence_a_life_must_echo_again);
    RUN(test_a_verified_peer_that_does_not_answer_stays);
    RUN(test_an_old_challenge_is_worth_nothing);
    RUN(test_recordings_do_not_hide_a_life);
    RUN(test_leaving);
    RUN(test_strangers_do_not_leave);
    RUN(test_our_own_packets);
    RUN(test_a_clone_is_a_conflict_when_it_echoes);
    RUN(test_solicit_and_keys);
    return check_summary();
}
