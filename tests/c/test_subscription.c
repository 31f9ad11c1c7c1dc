/* Events: filters, one and all, back-pressure through a chain, and subscribers that read slowly. */
#define _GNU_SOURCE
#include "world.h"

#include "check.h"

static struct world world;
static struct drop_pool *source, *target;
static struct world_worker first; /* of the source */
static struct world_client client;

/* Pools "a" and "b"; "b" has a mailbox of one. */
static void set_up(enum drop_overflow overflow)
{
    struct drop_reactor_options reactor_options = world_options();
    world_open(&world, &reactor_options);
    struct drop_pool_options options = world_pool_options("a", DROP_KIND_LINE);
    options.inflight = 64;
    options.ncm = true;
    source = world_pool_with(&world, &options);
    options = world_pool_options("b", DROP_KIND_FRAME);
    options.overflow = overflow;
    options.queue = 1;
    target = world_pool_with(&world, &options);
    first = world_worker(&world, source);
    client = world_join(&world);
}

static void tear_down(void)
{
    world_hang_up(&world, &client);
    world_die(&world, &first);
    CHECK_EQUAL(world_close(&world), 0);
}

/* The source's worker has this many messages that nobody waits for. */
static void cast(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        world_ask(&client, DROP_CAST, 0, "a", "x");
    world_turn(&world);
}

static void check_message(const struct world_worker *worker, const char *payload)
{
    char text[256];
    size_t length = world_read(worker, text, sizeof text);
    CHECK_EQUAL(length, strlen(payload) + DROP_LENGTH_PREFIX);
    CHECK(length < DROP_LENGTH_PREFIX || strcmp(text + DROP_LENGTH_PREFIX, payload) == 0);
}

static void test_filter(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, false, "tag:");
    struct world_worker second = world_worker(&world, target);
    cast(3);
    world_say(&world, &first, "no\nyes tag:1\ntag\n");
    check_message(&second, "yes tag:1");
    CHECK_EQUAL(target->counters.messages, 1);
    world_die(&world, &second);
    tear_down();
}

static void test_chain_slows_its_source(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, false, "");
    cast(5);
    world_say(&world, &first, "1\n2\n3\n4\n5\n");
    CHECK_EQUAL(target->mailbox.count, 1);
    CHECK_EQUAL(source->inflight, 4);
    struct world_worker second = world_worker(&world, target);
    for (char digit = '1'; digit <= '5'; digit++) {
        check_message(&second, (char[]){digit, '\0'});
        CHECK_EQUAL(world_write(&second, "\0\0\0\0", 4), 4);
        world_turn(&world);
    }
    CHECK_EQUAL(source->inflight, 0);
    CHECK_EQUAL(world.reactor->pending, 0);
    world_die(&world, &second);
    tear_down();
}

/* A worker that ended while there was no room for its answers: they count all the same. */
static void test_last_words_wait_for_room(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, false, "");
    cast(4);
    world_say(&world, &first, "1\n2\n");
    CHECK_EQUAL(world_write(&first, "3\n", 2), 2);
    world_die(&world, &first);
    CHECK_EQUAL(source->worker_count, 1);
    struct world_worker second = world_worker(&world, target);
    for (char digit = '1'; digit <= '3'; digit++) {
        check_message(&second, (char[]){digit, '\0'});
        CHECK_EQUAL(world_write(&second, "\0\0\0\0", 4), 4);
        world_turn(&world);
    }
    CHECK_EQUAL(source->worker_count, 0);
    CHECK_EQUAL(source->counters.answers, 3);
    CHECK_EQUAL(source->counters.dropped[DROP_ERROR], 1);
    CHECK_EQUAL(world.reactor->pending, 0);
    world_die(&world, &second);
    world_hang_up(&world, &client);
    CHECK_EQUAL(world_close(&world), 0);
}

/* Waiting for a slow target is not the function's fault. */
static void test_function_timeout_stops_while_it_waits(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    source->options.timeout_ns = 1000 * DROP_NS_PER_MS;
    world_subscribe(&world, source, target, false, "");
    cast(2);
    world_say(&world, &first, "1\n2\n");
    CHECK_EQUAL(source->inflight, 1);
    world_pass_ms(&world, 5000);
    CHECK_EQUAL(source->worker_count, 1);
    tear_down();
}

static void test_unsubscribed_source_goes_on(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    uint64_t subscription = world_subscribe(&world, source, target, false, "");
    cast(5);
    world_say(&world, &first, "1\n2\n3\n4\n5\n");
    CHECK_EQUAL(source->inflight, 4);
    world_command(&world, DROP_COMMAND_UNSUBSCRIBE, subscription, 0, 0, NULL, 0);
    world_turn(&world);
    CHECK_EQUAL(source->inflight, 0);
    tear_down();
}

static void test_filter_with_newline_is_slowed_too(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, false, "a\nb");
    cast(3);
    world_say(&world, &first, "a\tncm\tb\na\tncm\tb\na\tncm\tb\n");
    CHECK_EQUAL(target->mailbox.count, 1);
    CHECK_EQUAL(source->inflight, 2);
    tear_down();
}

static void test_rejecting_target_loses_and_counts(void)
{
    set_up(DROP_OVERFLOW_REJECT);
    world_subscribe(&world, source, target, false, "");
    cast(3);
    world_say(&world, &first, "1\n2\n3\n");
    CHECK_EQUAL(source->inflight, 0);
    CHECK_EQUAL(target->mailbox.count, 1);
    CHECK_EQUAL(target->counters.dropped[DROP_OVERLOADED], 2);
    tear_down();
}

static void test_all_workers_get_a_broadcast(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, true, "");
    struct world_worker second = world_worker(&world, target), third = world_worker(&world, target);
    cast(1);
    world_say(&world, &first, "1\n");
    check_message(&second, "1");
    check_message(&third, "1");
    world_die(&world, &second);
    world_die(&world, &third);
    CHECK_EQUAL(target->counters.dropped[DROP_ERROR], 2);
    tear_down();
}

/* It is given what it was promised, and nothing new. */
static void test_broadcast_to_a_draining_worker(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, true, "");
    struct world_worker second = world_worker(&world, target);
    cast(3);
    world_say(&world, &first, "1\n2\n");
    check_message(&second, "1");
    world_command(&world, DROP_COMMAND_WORKER_REMOVE, second.id, 1, 0, NULL, 0);
    world_turn(&world);
    world_say(&world, &first, "3\n");
    CHECK_EQUAL(target->counters.dropped[DROP_NO_WORKER], 1);
    CHECK_EQUAL(world_write(&second, "\0\0\0\0", 4), 4);
    world_turn(&world);
    check_message(&second, "2");
    CHECK_EQUAL(world_write(&second, "\0\0\0\0", 4), 4);
    world_turn(&world);
    CHECK(world_happening(&world, DROP_WORKER_DRAINED) != NULL);
    world_die(&world, &second);
    tear_down();
}

static void test_control_pool_takes_no_events(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    struct drop_pool *control = world_pool(&world, "$control", DROP_KIND_CONTROL);
    world_subscribe(&world, source, control, false, "");
    cast(1);
    world_say(&world, &first, "1\n");
    CHECK_EQUAL(control->mailbox.count, 0);
    tear_down();
}

static void test_target_removed_while_source_waits(void)
{
    set_up(DROP_OVERFLOW_BLOCK);
    world_subscribe(&world, source, target, false, "");
    cast(3);
    world_say(&world, &first, "1\n2\n3\n");
    CHECK_EQUAL(source->inflight, 2);
    world_command(&world, DROP_COMMAND_POOL_REMOVE, target->id, 0, 0, NULL, 0);
    world_turn(&world);
    CHECK_EQUAL(source->inflight, 0);
    tear_down();
}

/* Its stdin was full when it died, which epoll would tell again and again while it waits. */
static void test_dead_worker_waits_in_peace(void)
{
    char payload[200];
    set_up(DROP_OVERFLOW_DEFAULT);
    world_subscribe(&world, source, target, false, "");
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    fcntl(first.input, F_SETPIPE_SZ, 4096);
    for (int i = 0; i < 60; i++)
        world_ask(&client, DROP_CAST, 0, "a", payload);
    world_turn(&world);
    world_say(&world, &first, "1\n2\n3\n");
    REQUIRE(source->workers);
    CHECK(source->workers->writing && drop_waiter_waits(&source->workers->waiter));
    world_die(&world, &first);
    REQUIRE(source->workers);
    CHECK(!source->workers->writing);
    struct world_worker second = world_worker(&world, target);
    for (char digit = '1'; digit <= '3'; digit++) {
        check_message(&second, (char[]){digit, '\0'});
        CHECK_EQUAL(world_write(&second, "\0\0\0\0", 4), 4);
        world_turn(&world);
    }
    CHECK(source->workers == NULL);
    world_die(&world, &second);
    tear_down();
}

/* Answers of `size` bytes, each a line, until the source's worker is stopped or `count` are out. */
static unsigned flood(unsigned count, size_t size)
{
    char *line = malloc(size);
    unsigned said = 0;
    memset(line, 'x', size);
    line[size - 1] = '\n';
    for (; said < count; said++) {
        size_t at = 0;
        cast(1);
        for (int i = 0; i < 8 && at < size; i++) {
            at += world_write(&first, line + at, size - at);
            world_turn(&world);
        }
        if (at < size)
            break;
    }
    free(line);
    return said;
}

static void test_slow_subscriber_loses_and_is_told(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    struct world_client slow = world_join(&world);
    world_ask(&slow, DROP_SUBSCRIBE, 9, "a", "");
    CHECK_EQUAL(world_hear(&world, &slow).code, DROP_OK);
    CHECK_EQUAL(flood(30, 64 << 10), 30);
    unsigned events = 0, lost = 0;
    for (struct world_frame frame; (frame = world_hear(&world, &slow)).type;)
        events += frame.type == DROP_EVENT;
    CHECK(events >= 16 && events < 30);
    CHECK_EQUAL(flood(1, 8), 1);
    for (struct world_frame frame; (frame = world_hear(&world, &slow)).type;) {
        if (frame.flags & DROP_FLAG_GAP)
            lost = (unsigned)drop_get_u64(frame.body);
        else
            events++;
    }
    CHECK_EQUAL(events + lost, 31);
    world_hang_up(&world, &slow);
    tear_down();
}

static void test_waiting_subscriber_loses_nothing(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    struct world_client slow = world_join(&world);
    char frame[64];
    size_t length = world_put(frame, DROP_SUBSCRIBE, 9, "a", "", 0);
    frame[5] = DROP_FLAG_WAIT;
    CHECK_EQUAL(world_send(&slow, frame, length), length);
    CHECK_EQUAL(world_hear(&world, &slow).code, DROP_OK);
    unsigned said = flood(40, 64 << 10), events = 0;
    CHECK(said < 40);
    for (struct world_frame event; (event = world_hear(&world, &slow)).type;)
        events += event.type == DROP_EVENT && !event.flags;
    CHECK_EQUAL(events, said);
    world_hang_up(&world, &slow);
    tear_down();
}

/* It reads nothing for slow_client_ms: it is cut, and the pool goes on. */
static void test_waiting_subscriber_is_cut(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    struct world_client slow = world_join(&world);
    char frame[64];
    size_t length = world_put(frame, DROP_SUBSCRIBE, 9, "a", "", 0);
    frame[5] = DROP_FLAG_WAIT;
    CHECK_EQUAL(world_send(&slow, frame, length), length);
    world_turn(&world);
    CHECK(flood(40, 64 << 10) < 40);
    CHECK(drop_waiter_waits(&source->workers->waiter));
    world_pass_ms(&world, 20000);
    CHECK(!drop_waiter_waits(&source->workers->waiter));
    CHECK_EQUAL(world.reactor->counters.cut_slow, 1);
    world_hang_up(&world, &slow);
    tear_down();
}

static void test_unsubscribe(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_ask(&client, DROP_SUBSCRIBE, 5, "a", "");
    CHECK_EQUAL(world_hear(&world, &client).code, DROP_OK);
    world_ask(&client, DROP_UNSUBSCRIBE, 5, "", "");
    CHECK_EQUAL(world_hear(&world, &client).code, DROP_OK);
    world_ask(&client, DROP_UNSUBSCRIBE, 5, "", "");
    CHECK_EQUAL(world_hear(&world, &client).code, DROP_BAD_REQUEST);
    cast(1);
    world_say(&world, &first, "1\n");
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    CHECK_EQUAL(source->subscription_count, 0);
    tear_down();
}

static void test_subscriber_is_told_that_the_pool_is_gone(void)
{
    set_up(DROP_OVERFLOW_DEFAULT);
    world_ask(&client, DROP_SUBSCRIBE, 5, "a", "");
    CHECK_EQUAL(world_hear(&world, &client).code, DROP_OK);
    world_command(&world, DROP_COMMAND_POOL_REMOVE, source->id, 0, 0, NULL, 0);
    world_turn(&world);
    struct world_frame end = world_hear(&world, &client);
    CHECK_EQUAL(end.type, DROP_ANSWER);
    CHECK_EQUAL(end.code, DROP_DRAINING);
    CHECK_EQUAL(end.id, 5);
    CHECK(!client.connection->subscriptions);
    tear_down();
}

int main(void)
{
    RUN(test_subscriber_is_told_that_the_pool_is_gone);
    RUN(test_filter);
    RUN(test_chain_slows_its_source);
    RUN(test_last_words_wait_for_room);
    RUN(test_function_timeout_stops_while_it_waits);
    RUN(test_unsubscribed_source_goes_on);
    RUN(test_filter_with_newline_is_slowed_too);
    RUN(test_rejecting_target_loses_and_counts);
    RUN(test_all_workers_get_a_broadcast);
    RUN(test_broadcast_to_a_draining_worker);
    RUN(test_control_pool_takes_no_events);
    RUN(test_target_removed_while_source_waits);
    RUN(test_dead_worker_waits_in_peace);
    RUN(test_slow_subscriber_loses_and_is_told);
    RUN(test_waiting_subscriber_loses_nothing);
    RUN(test_waiting_subscriber_is_cut);
    RUN(test_unsubscribe);
    return check_summary();
}
