/* A client's connection: frames cut anywhere, limits, slow readers, half-closed ends, and memory
 * that runs out at every single place. */
#define _GNU_SOURCE
#include "world.h"

#include "check.h"

static struct world world;
static struct drop_pool *pool;
static struct world_worker worker;
static struct world_client client;

static void set_up_with(const struct drop_reactor_options *reactor_options)
{
    struct drop_pool_options options = world_pool_options("p", DROP_KIND_FRAME);
    options.inflight = 8;
    world_open(&world, reactor_options);
    pool = world_pool_with(&world, &options);
    worker = world_worker(&world, pool);
}

static void set_up(void)
{
    struct drop_reactor_options options = world_options();
    set_up_with(&options);
    client = world_join(&world);
}

static void tear_down(void)
{
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    CHECK_EQUAL(world_close(&world), 0);
}

static void check_frame(enum drop_frame_type type, uint64_t id, uint8_t code)
{
    struct world_frame frame = world_hear(&world, &client);
    CHECK_EQUAL(frame.type, type);
    CHECK_EQUAL(frame.id, id);
    CHECK_EQUAL(frame.code, code);
}

static void check_closed(void)
{
    world_turn(&world);
    CHECK(!world_receive(&client));
}

static void test_byte_by_byte(void)
{
    struct drop_reactor_options options = world_options();
    char bytes[256], text[64];
    set_up_with(&options);
    client = world_connect(&world, false);
    size_t length = world_put_hello(bytes);
    length += world_put(bytes + length, DROP_PING, 7, "", "", 0);
    length += world_put(bytes + length, DROP_CALL, 8, "p", "hello", 5);
    length += world_put(bytes + length, DROP_CALL, 9, "absent", "x", 1);
    for (size_t i = 0; i < length; i++) {
        CHECK_EQUAL(world_send(&client, bytes + i, 1), 1);
        drop_reactor_turn(world.reactor);
    }
    check_frame(DROP_WELCOME, 0, 0);
    check_frame(DROP_PONG, 7, 0);
    check_frame(DROP_ANSWER, 9, DROP_NO_POOL);
    CHECK_EQUAL(world_read(&worker, text, sizeof text), 9);
    CHECK(memcmp(text, "\0\0\0\5hello", 9) == 0);
    tear_down();
}

static void test_first_frame_must_be_hello(void)
{
    struct drop_reactor_options options = world_options();
    set_up_with(&options);
    client = world_connect(&world, true);
    world_ask(&client, DROP_PING, 1, "", "");
    check_frame(DROP_GOAWAY, 0, DROP_BAD_REQUEST);
    check_closed();
    tear_down();
}

static void test_no_hello_in_time(void)
{
    struct drop_reactor_options options = world_options();
    set_up_with(&options);
    client = world_connect(&world, true);
    world_pass_ms(&world, 11000);
    check_frame(DROP_GOAWAY, 0, DROP_BAD_REQUEST);
    check_closed();
    tear_down();
}

static void test_token(void)
{
    struct drop_reactor_options options = world_options();
    char hello[64];
    memcpy(options.token, "secret", 6);
    options.token_length = 6;
    set_up_with(&options);
    client = world_connect(&world, false);
    size_t length = world_put_hello(hello);
    CHECK_EQUAL(world_send(&client, hello, length), length);
    check_frame(DROP_GOAWAY, 0, DROP_UNAUTHORIZED);
    world_hang_up(&world, &client);
    client = world_connect(&world, false);
    drop_frame_put(hello, DROP_HELLO, 0, 0, 0, 14);
    memcpy(hello + DROP_FRAME_HEADER, "DROP\1\1\0\6secret", 14);
    CHECK_EQUAL(world_send(&client, hello, DROP_FRAME_HEADER + 14), DROP_FRAME_HEADER + 14);
    check_frame(DROP_WELCOME, 0, 0);
    tear_down();
}

static void test_control_needs_trust(void)
{
    struct drop_reactor_options options = world_options();
    char hello[64];
    set_up_with(&options);
    world_pool(&world, "$control", DROP_KIND_CONTROL);
    client = world_connect(&world, false);
    size_t length = world_put_hello(hello);
    CHECK_EQUAL(world_send(&client, hello, length), length);
    check_frame(DROP_WELCOME, 0, 0);
    world_ask(&client, DROP_CALL, 1, "$control", "x");
    check_frame(DROP_ANSWER, 1, DROP_UNAUTHORIZED);
    CHECK(world_happening(&world, DROP_MESSAGE) == NULL);
    tear_down();
}

static void test_control_is_answered_once(void)
{
    set_up();
    world_pool(&world, "$control", DROP_KIND_CONTROL);
    world_ask(&client, DROP_CALL, 1, "$control", "hi");
    world_turn(&world);
    const struct drop_record *message = world_happening(&world, DROP_MESSAGE);
    REQUIRE(message);
    CHECK_BYTES(message->bytes, message->length, "hi");
    for (int i = 0; i < 2; i++)
        world_command(&world, DROP_COMMAND_ANSWER, message->b, DROP_OK, 0, "yo", 2);
    check_frame(DROP_ANSWER, 1, DROP_OK);
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    tear_down();
}

/* The body of a refused frame comes in pieces, and the next frame is found behind it. */
static void test_too_large_body_is_skipped(void)
{
    set_up();
    char header[DROP_FRAME_HEADER], piece[40000] = {0};
    size_t body = 4 + 1 + WORLD_PAYLOAD_MAX + 1;
    drop_frame_put(header, DROP_CALL, 0, 1, 5, (uint32_t)body);
    CHECK_EQUAL(world_send(&client, header, sizeof header), sizeof header);
    check_frame(DROP_ANSWER, 5, DROP_TOO_LARGE);
    while (body) {
        body -= world_send(&client, piece, body < sizeof piece ? body : sizeof piece);
        drop_reactor_turn(world.reactor);
    }
    world_ask(&client, DROP_PING, 6, "", "");
    check_frame(DROP_PONG, 6, 0);
    tear_down();
}

/* Larger than the scratch, so it is read on to where it is kept; a frame follows directly. */
static void send_large(size_t payload)
{
    char *frame = calloc(2, payload + 64);
    REQUIRE(frame);
    size_t length = world_put(frame, DROP_CALL, 1, "p", frame + payload + 64, payload), sent = 0;
    length += world_put(frame + length, DROP_PING, 2, "", "", 0);
    while (sent < length) {
        size_t count = world_send(&client, frame + sent, length - sent);
        if (!count && errno != EAGAIN)
            break; /* the node has closed it */
        sent += count;
        drop_reactor_turn(world.reactor);
    }
    free(frame);
}

static void test_large_frames(void)
{
    static const size_t sizes[] = {65536 - 21, 65536,  262144 - 22, 262144 - 21,
                                   262144,     700000, WORLD_PAYLOAD_MAX};
    set_up();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char piece[65536];
        size_t got = 0;
        send_large(sizes[i]);
        check_frame(DROP_PONG, 2, 0);
        for (ssize_t count; got < sizes[i] + 4; drop_reactor_turn(world.reactor))
            if ((count = read(worker.input, piece, sizeof piece)) > 0)
                got += (size_t)count;
        CHECK_EQUAL(got, sizes[i] + 4);
        CHECK_EQUAL(world_write(&worker, "\0\0\0\0", 4), 4);
        check_frame(DROP_ANSWER, 1, DROP_OK);
    }
    tear_down();
}

static void test_calls_max(void)
{
    struct drop_reactor_options options = world_options();
    options.calls_max = 2;
    set_up_with(&options);
    client = world_join(&world);
    for (uint64_t id = 1; id <= 5; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    CHECK_EQUAL(client.connection->outstanding, 2);
    for (uint64_t id = 1; id <= 5; id++) {
        CHECK_EQUAL(world_write(&worker, "\0\0\0\0", 4), 4);
        check_frame(DROP_ANSWER, id, DROP_OK);
    }
    tear_down();
}

static void test_half_closed_client_gets_its_answers(void)
{
    set_up();
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_ask(&client, DROP_CALL, 2, "p", "x");
    shutdown(client.fd, SHUT_WR);
    world_turn(&world);
    CHECK_EQUAL(world_write(&worker, "\0\0\0\0\0\0\0\0", 8), 8);
    check_frame(DROP_ANSWER, 1, DROP_OK);
    check_frame(DROP_ANSWER, 2, DROP_OK);
    check_closed();
    tear_down();
}

static void test_lost_client_abandons_its_calls(void)
{
    set_up();
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_turn(&world);
    world_hang_up(&world, &client);
    CHECK_EQUAL(world.reactor->connection_count, 0);
    CHECK_EQUAL(world_write(&worker, "\0\0\0\0", 4), 4);
    world_turn(&world);
    CHECK_EQUAL(world.reactor->pending, 0);
    tear_down();
}

/* Asks for far more in one go than a client may leave unread, and reads all of it. */
static void test_many_large_answers_in_one_read(void)
{
    char name[16], requests[DROP_FRAME_HEADER * 2000];
    unsigned answers = 0;
    set_up();
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "q%d", i);
        world_pool(&world, name, DROP_KIND_LINE);
    }
    for (unsigned i = 0; i < 2000; i++)
        drop_frame_put(requests + i * DROP_FRAME_HEADER, DROP_STATISTICS, 0, 0, i, 0);
    CHECK_EQUAL(world_send(&client, requests, sizeof requests), sizeof requests);
    for (struct world_frame frame; (frame = world_hear(&world, &client)).type;) {
        CHECK(drop_buffer_length(&client.connection->output) < DROP_OUTPUT_HIGH + (256u << 10));
        answers += frame.type == DROP_ANSWER && frame.code == DROP_OK;
    }
    CHECK_EQUAL(answers, 2000);
    CHECK_EQUAL(world.reactor->counters.cut_slow, 0);
    tear_down();
}

/* Its timer was armed for output that has left; an answer of this very turn is no slowness. */
static void test_new_output_is_not_slow(void)
{
    set_up();
    drop_connection_answer(client.connection, 1, DROP_OK, "x", 1);
    client.connection->progress_ns = 0;
    drop_timer_arm(&world.reactor->timers, &client.connection->timer, 1);
    drop_timers_run(&world.reactor->timers, drop_clock_ns());
    check_frame(DROP_ANSWER, 1, DROP_OK);
    tear_down();
}

static void test_slow_reader_is_cut(void)
{
    char body[64] = {0}, ping[80];
    set_up();
    size_t length = world_put(ping, DROP_PING, 1, "", body, sizeof body);
    for (int i = 0; i < 100000 && !(client.connection->stops & DROP_STOP_OUTPUT); i++) {
        world_send(&client, ping, length);
        drop_reactor_turn(world.reactor);
    }
    CHECK(client.connection->stops & DROP_STOP_OUTPUT);
    world_pass_ms(&world, 5000);
    CHECK_EQUAL(world.reactor->connection_count, 1);
    world_pass_ms(&world, 15000);
    CHECK_EQUAL(world.reactor->connection_count, 0);
    CHECK_EQUAL(world.reactor->counters.cut_slow, 1);
    tear_down();
}

/* A call that fits the scratch and one that does not, an answer, an event, a dying worker. */
static void act(struct world_client *other)
{
    char piece[65536];
    ssize_t got;
    world_ask(&client, DROP_SUBSCRIBE, 3, "p", "");
    send_large(300000);
    world_ask(other, DROP_CALL, 1, "p", "small");
    world_ask(other, DROP_STATISTICS, 2, "", "");
    world_turn(&world);
    for (int i = 0; i < 20; i++) {
        while ((got = read(worker.input, piece, sizeof piece)) > 0)
            ;
        drop_reactor_turn(world.reactor);
    }
    world_write(&worker, "\0\0\0\1x\0\0\1", 8);
    world_turn(&world);
    world_die(&world, &worker);
    worker = world_worker(&world, pool);
    world_turn(&world);
    world_receive(other);
    world_pass_ms(&world, 100);
}

static void test_memory_runs_out_everywhere(void)
{
    size_t step = 128;
    for (size_t more = 0; more < 3u << 20; more += step) {
        set_up();
        struct world_client other = world_join(&world);
        world.reactor->memory.limit = world.reactor->memory.in_use + more;
        act(&other);
        CHECK(world.reactor->memory.in_use <= world.reactor->memory.limit);
        world_hang_up(&world, &other);
        world_hang_up(&world, &client);
        CHECK_EQUAL(world.reactor->connection_count, 0);
        tear_down();
        step = more < 4096 ? 128 : more < 65536 ? 4096 : 32768;
    }
}

int main(void)
{
    RUN(test_byte_by_byte);
    RUN(test_first_frame_must_be_hello);
    RUN(test_no_hello_in_time);
    RUN(test_token);
    RUN(test_control_needs_trust);
    RUN(test_control_is_answered_once);
    RUN(test_too_large_body_is_skipped);
    RUN(test_large_frames);
    RUN(test_calls_max);
    RUN(test_half_closed_client_gets_its_answers);
    RUN(test_lost_client_abandons_its_calls);
    RUN(test_many_large_answers_in_one_read);
    RUN(test_new_output_is_not_slow);
    RUN(test_slow_reader_is_cut);
    RUN(test_memory_runs_out_everywhere);
    return check_summary();
}
