/* From an offered message to a worker: overflow policies, fairness among workers, deadlines, memory
 * that runs out, and what a dead worker gives back. */
#define _GNU_SOURCE
#include "world.h"

#include "check.h"

static struct world world;

static void set_up(void)
{
    struct drop_reactor_options options = world_options();
    world_open(&world, &options);
}

static void tear_down(void)
{
    CHECK_EQUAL(world_close(&world), 0);
}

/* The pool "p" of a kind and an overflow policy, with a mailbox of two. */
static struct drop_pool *pool_of(enum drop_kind kind, enum drop_overflow overflow)
{
    struct drop_pool_options options = world_pool_options("p", kind);
    options.overflow = overflow;
    options.queue = 2;
    return world_pool_with(&world, &options);
}

static void check_input(const struct world_worker *worker, const char *expected)
{
    char text[4096];
    world_read(worker, text, sizeof text);
    if (strcmp(text, expected) != 0) {
        fprintf(stderr, "stdin has \"%s\", expected \"%s\"\n", text, expected);
        CHECK(!"the worker's stdin differs");
    }
}

static void check_answer(struct world_client *client, uint64_t id, enum drop_status status)
{
    struct world_frame frame = world_hear(&world, client);
    CHECK_EQUAL(frame.type, DROP_ANSWER);
    CHECK_EQUAL(frame.id, id);
    CHECK_EQUAL(frame.code, status);
}

static void test_least_loaded_worker_gets_it(void)
{
    set_up();
    struct drop_pool_options options = world_pool_options("p", DROP_KIND_LINE);
    options.inflight = 4;
    struct drop_pool *pool = world_pool_with(&world, &options);
    struct world_worker first = world_worker(&world, pool), second = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    for (uint64_t id = 1; id <= 8; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    check_input(&first, "x\nx\nx\nx\n");
    check_input(&second, "x\nx\nx\nx\n");
    world_hang_up(&world, &client);
    world_die(&world, &first);
    world_die(&world, &second);
    tear_down();
}

static void test_full_mailbox_refuses(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_DEFAULT);
    struct world_client client = world_join(&world);
    for (uint64_t id = 1; id <= 3; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    check_answer(&client, 3, DROP_OVERLOADED);
    CHECK_EQUAL(pool->mailbox.count, 2);
    world_hang_up(&world, &client);
    tear_down();
}

static void test_oldest_gives_way(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_OLDEST);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "1");
    world_ask(&client, DROP_CALL, 2, "p", "2");
    world_ask(&client, DROP_CALL, 3, "p", "3");
    check_answer(&client, 1, DROP_OVERLOADED);
    struct world_worker worker = world_worker(&world, pool);
    check_input(&worker, "2\n");
    world_say(&world, &worker, "two\n");
    check_answer(&client, 2, DROP_OK);
    check_input(&worker, "3\n");
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    tear_down();
}

static void test_blocked_client_goes_on(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_BLOCK);
    struct world_client client = world_join(&world);
    for (uint64_t id = 1; id <= 5; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    CHECK(drop_waiter_waits(&client.connection->waiter));
    struct world_worker worker = world_worker(&world, pool);
    for (uint64_t id = 1; id <= 5; id++) {
        check_input(&worker, "x\n");
        world_say(&world, &worker, "y\n");
        check_answer(&client, id, DROP_OK);
    }
    CHECK(!drop_waiter_waits(&client.connection->waiter));
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    tear_down();
}

/* A client stands in the line of a pool whose worker goes with the pool. */
static void test_pool_removed_while_client_waits(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_BLOCK);
    struct world_worker worker = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    for (uint64_t id = 1; id <= 5; id++)
        world_ask(&client, DROP_CALL, id, "p", "x");
    world_turn(&world);
    CHECK(drop_waiter_waits(&client.connection->waiter));
    world_command(&world, DROP_COMMAND_POOL_REMOVE, pool->id, 0, 0, NULL, 0);
    world_turn(&world);
    unsigned draining = 0, unknown = 0;
    for (struct world_frame frame; (frame = world_hear(&world, &client)).type;) {
        draining += frame.code == DROP_DRAINING;
        unknown += frame.code == DROP_NO_POOL;
    }
    CHECK_EQUAL(draining, 3);
    CHECK_EQUAL(unknown, 2);
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    tear_down();
}

static void test_deadline_in_mailbox(void)
{
    set_up();
    pool_of(DROP_KIND_LINE, DROP_OVERFLOW_DEFAULT);
    struct world_client client = world_join(&world);
    char frame[64];
    size_t length = world_put(frame, DROP_CALL, 1, "p", "x", 1);
    drop_put_u32(frame + DROP_FRAME_HEADER, 1000);
    CHECK_EQUAL(world_send(&client, frame, length), length);
    world_turn(&world);
    world_pass_ms(&world, 500);
    CHECK_EQUAL(world_hear(&world, &client).type, 0);
    world_pass_ms(&world, 1500);
    check_answer(&client, 1, DROP_TIMEOUT);
    world_hang_up(&world, &client);
    tear_down();
}

static void test_head_fails_and_the_rest_goes_back(void)
{
    set_up();
    struct drop_pool_options options = world_pool_options("p", DROP_KIND_LINE);
    options.inflight = 4;
    struct drop_pool *pool = world_pool_with(&world, &options);
    struct world_worker worker = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "1");
    world_ask(&client, DROP_CALL, 2, "p", "2");
    world_ask(&client, DROP_CALL, 3, "p", "3");
    world_turn(&world);
    world_die(&world, &worker);
    check_answer(&client, 1, DROP_ERROR);
    struct world_worker second = world_worker(&world, pool);
    check_input(&second, "2\n3\n");
    world_say(&world, &second, "a\nb\n");
    check_answer(&client, 2, DROP_OK);
    check_answer(&client, 3, DROP_OK);
    world_hang_up(&world, &client);
    world_die(&world, &second);
    tear_down();
}

/* The worker answers the last thing it had and ends; what it is given in the same moment is not
 * lost with it. */
static void test_unwritten_message_survives_worker(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_DEFAULT);
    struct world_worker worker = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "1");
    world_ask(&client, DROP_CALL, 2, "p", "2");
    world_turn(&world);
    CHECK_EQUAL(world_write(&worker, "one\n", 4), 4);
    close(worker.input);
    close(worker.output);
    world_command(&world, DROP_COMMAND_WORKER_EXITED, worker.id, 0, 0, NULL, 0);
    check_answer(&client, 1, DROP_OK);
    struct world_worker second = world_worker(&world, pool);
    check_input(&second, "2\n");
    world_say(&world, &second, "two\n");
    check_answer(&client, 2, DROP_OK);
    world_hang_up(&world, &client);
    world_die(&world, &second);
    tear_down();
}

/* Memory is short while a worker is free; when it is back, nothing else has to happen. */
static void test_waiting_for_memory_ends(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_FRAME, DROP_OVERFLOW_DEFAULT);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_turn(&world);
    world.reactor->memory.limit = world.reactor->memory.in_use;
    struct world_worker worker = world_worker(&world, pool);
    check_input(&worker, "");
    world.reactor->memory.limit = WORLD_MEMORY;
    world_pass_ms(&world, 100);
    char text[64];
    CHECK_EQUAL(world_read(&worker, text, sizeof text), 5);
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    tear_down();
}

static void test_refused_while_last_worker_drains(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_DEFAULT);
    struct world_worker worker = world_worker(&world, pool);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_ask(&client, DROP_CALL, 2, "p", "x");
    world_turn(&world);
    world_command(&world, DROP_COMMAND_POOL_REFUSE, pool->id, 0, 0, "it fails", 9);
    world_command(&world, DROP_COMMAND_WORKER_REMOVE, worker.id, 1, 0, NULL, 0);
    world_turn(&world);
    world_say(&world, &worker, "y\n");
    check_answer(&client, 1, DROP_OK);
    check_answer(&client, 2, DROP_NO_WORKER);
    CHECK(world_happening(&world, DROP_WORKER_DRAINED) != NULL);
    world_hang_up(&world, &client);
    world_die(&world, &worker);
    tear_down();
}

static void test_batch_waits_for_room(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_DEFAULT);
    struct world_worker worker = world_worker(&world, pool);
    char batch[5 * 5];
    for (size_t i = 0; i < 5; i++) {
        uint32_t length = 1;
        memcpy(batch + 5 * i, &length, sizeof length);
        batch[5 * i + 4] = (char)('a' + i);
    }
    world_command(&world, DROP_COMMAND_PUBLISH, 77, pool->id, 5, batch, sizeof batch);
    world_turn(&world);
    CHECK(world_happening(&world, DROP_PUBLISHED) == NULL);
    for (size_t i = 0; i < 5; i++) {
        check_input(&worker, (char[]){batch[5 * i + 4], '\n', '\0'});
        world_say(&world, &worker, "y\n");
    }
    const struct drop_record *published = world_happening(&world, DROP_PUBLISHED);
    REQUIRE(published);
    CHECK_EQUAL(published->a, 77);
    CHECK_EQUAL(published->b, 5);
    CHECK_EQUAL(published->c, 0);
    world_die(&world, &worker);
    tear_down();
}

/* A batch waits for a worker; draining, of its pool or of the node, ends the wait. */
static void check_drained_batch(enum drop_command drain)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_LINE, DROP_OVERFLOW_DEFAULT);
    static const char batch[3 * 4];
    world_command(&world, DROP_COMMAND_PUBLISH, 1, pool->id, 3, batch, sizeof batch);
    world_turn(&world);
    CHECK(world_happening(&world, DROP_PUBLISHED) == NULL);
    world_command(&world, drain, pool->id, 0, 0, NULL, 0);
    world_turn(&world);
    const struct drop_record *published = world_happening(&world, DROP_PUBLISHED);
    REQUIRE(published);
    CHECK_EQUAL(published->c, 3);
    tear_down();
}

static void test_batch_of_a_draining_pool(void)
{
    check_drained_batch(DROP_COMMAND_POOL_DRAIN);
}

static void test_batch_of_a_draining_node(void)
{
    check_drained_batch(DROP_COMMAND_DRAIN);
}

static void test_batch_for_the_control_plane_is_refused(void)
{
    set_up();
    struct drop_pool *pool = pool_of(DROP_KIND_CONTROL, DROP_OVERFLOW_DEFAULT);
    static const char batch[3 * 4];
    world_command(&world, DROP_COMMAND_PUBLISH, 1, pool->id, 3, batch, sizeof batch);
    world_turn(&world);
    const struct drop_record *published = world_happening(&world, DROP_PUBLISHED);
    REQUIRE(published);
    CHECK_EQUAL(published->c, 3);
    tear_down();
}

int main(void)
{
    RUN(test_least_loaded_worker_gets_it);
    RUN(test_full_mailbox_refuses);
    RUN(test_oldest_gives_way);
    RUN(test_blocked_client_goes_on);
    RUN(test_pool_removed_while_client_waits);
    RUN(test_deadline_in_mailbox);
    RUN(test_head_fails_and_the_rest_goes_back);
    RUN(test_unwritten_message_survives_worker);
    RUN(test_waiting_for_memory_ends);
    RUN(test_refused_while_last_worker_drains);
    RUN(test_batch_waits_for_room);
    RUN(test_batch_of_a_draining_pool);
    RUN(test_batch_of_a_draining_node);
    RUN(test_batch_for_the_control_plane_is_refused);
    return check_summary();
}
