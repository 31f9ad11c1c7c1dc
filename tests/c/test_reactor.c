/* The turn and its lists: who dies in it while somebody still names him, what comes in the same
 * turn, draining; and the thread, with callers and clients of its own (run this under
 * ThreadSanitizer too). */
#define _GNU_SOURCE
#include "world.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "check.h"

static struct world world;
static struct drop_pool *pool;
static struct world_worker worker;

static void set_up(enum drop_kind kind, uint32_t inflight)
{
    struct drop_reactor_options reactor_options = world_options();
    struct drop_pool_options options = world_pool_options("p", kind);
    world_open(&world, &reactor_options);
    options.inflight = inflight;
    pool = world_pool_with(&world, &options);
    worker = world_worker(&world, pool);
}

static void tear_down(void)
{
    world_die(&world, &worker);
    CHECK_EQUAL(world_close(&world), 0);
}

/* A worker says one line as long as the payload may be, as far as its subscriber reads it. */
static void say_large(void)
{
    char *line = malloc(700 << 10);
    size_t at = 0;
    REQUIRE(line);
    memset(line, 'x', 700 << 10);
    line[(700 << 10) - 1] = '\n';
    while (at < 700 << 10) {
        at += world_write(&worker, line + at, (700 << 10) - at);
        drop_reactor_turn(world.reactor);
    }
    free(line);
}

/* A subscriber that must not lose and does not read; the worker stands in its line. */
static struct world_client stop_worker(struct world_client *caller, const char *last_words)
{
    struct world_client slow = world_join(&world);
    char frame[64];
    size_t length = world_put(frame, DROP_SUBSCRIBE, 9, "p", "", 0);
    frame[5] = DROP_FLAG_WAIT;
    CHECK_EQUAL(world_send(&slow, frame, length), length);
    for (uint64_t id = 1; id <= 4; id++) {
        world_ask(caller, DROP_CALL, id, "p", "x");
        world_turn(&world);
        if (id <= 2)
            say_large();
        while (world_hear(&world, caller).type)
            ;
    }
    world_say(&world, &worker, last_words);
    CHECK(drop_waiter_waits(&pool->workers->waiter));
    return slow;
}

/* The end of a connection lets a worker go on, which is given a message and then found to break its
 * contract: it dies while it stands in the list of those to write to. */
static void test_worker_dies_when_a_connection_is_buried(void)
{
    set_up(DROP_KIND_LINE, 1);
    struct world_client caller = world_join(&world);
    struct world_client slow = stop_worker(&caller, "3\nunasked\n");
    world_hang_up(&world, &slow);
    struct world_frame frame = world_hear(&world, &caller);
    CHECK_EQUAL(frame.id, 3);
    CHECK_EQUAL(frame.code, DROP_OK);
    const struct drop_record *gone = world_happening(&world, DROP_WORKER_GONE);
    REQUIRE(gone);
    CHECK_BYTES(gone->bytes, gone->length, "unasked");
    CHECK_EQUAL(pool->mailbox.count, 1);
    world_hang_up(&world, &caller);
    tear_down();
}

/* The same with a second connection, which is cut for want of memory behind its first answer. */
static void test_connection_dies_when_another_is_buried(void)
{
    static char words[100 << 10];
    set_up(DROP_KIND_LINE, 2);
    struct world_client caller = world_join(&world);
    memset(words, 'x', sizeof words - 2);
    memcpy(words, "3\n", 2);
    words[sizeof words - 2] = '\n';
    fcntl(worker.output, F_SETPIPE_SZ, 1 << 20); /* takes the words at once */
    struct world_client slow = stop_worker(&caller, words);
    world.reactor->memory.limit =
        world.reactor->memory.in_use - slow.connection->output.capacity + 2048;
    world_hang_up(&world, &slow);
    world_turn(&world);
    CHECK(!world_receive(&caller));
    CHECK_EQUAL(world.reactor->connection_count, 0);
    world_hang_up(&world, &caller);
    tear_down();
}

static int listen_at(struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* Abstract, so that no file is left; the address of a variable makes it this test's own. */
    snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "drop-test-%d-%p", getpid(),
             (void *)address);
    world_need(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof *address) == 0
                   && listen(fd, 64) == 0,
               "listen");
    return fd;
}

static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    world_need(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0, "connect");
    return fd;
}

/* The command comes with the event of the listener that it ends, and before it. */
static void test_listener_ends_with_a_caller_at_the_door(void)
{
    struct sockaddr_un address;
    set_up(DROP_KIND_LINE, 1);
    world_command(&world, DROP_COMMAND_LISTEN, 7, (uint64_t)listen_at(&address), 1, NULL, 0);
    world_turn(&world);
    world_command(&world, DROP_COMMAND_LISTEN_STOP, 7, 0, 0, NULL, 0);
    int fd = connect_to(&address);
    world_turn(&world);
    CHECK(world.reactor->listeners == NULL);
    close(fd);
    tear_down();
}

static void test_too_many_connections(void)
{
    struct sockaddr_un address;
    char bytes[DROP_FRAME_HEADER];
    set_up(DROP_KIND_LINE, 1);
    world.reactor->options.connections_max = 1;
    world_command(&world, DROP_COMMAND_LISTEN, 7, (uint64_t)listen_at(&address), 1, NULL, 0);
    world_turn(&world);
    int first = connect_to(&address), second = connect_to(&address);
    world_turn(&world);
    CHECK_EQUAL(recv(second, bytes, sizeof bytes, 0), sizeof bytes);
    CHECK_EQUAL((uint8_t)bytes[4], DROP_GOAWAY);
    CHECK_EQUAL((uint8_t)bytes[6], DROP_OVERLOADED);
    close(first);
    close(second);
    world_turn(&world);
    CHECK_EQUAL(world.reactor->connection_count, 0);
    tear_down();
}

static void test_drain_finishes_what_was_accepted(void)
{
    set_up(DROP_KIND_LINE, 1);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_ask(&client, DROP_CALL, 2, "p", "x");
    world_turn(&world);
    world_command(&world, DROP_COMMAND_DRAIN, 0, 0, 0, NULL, 0);
    world_turn(&world);
    world_ask(&client, DROP_CALL, 3, "p", "x");
    CHECK_EQUAL(world_hear(&world, &client).code, DROP_DRAINING);
    CHECK(world_happening(&world, DROP_DRAINED) == NULL);
    world_say(&world, &worker, "1\n");
    world_say(&world, &worker, "2\n");
    CHECK_EQUAL(world_hear(&world, &client).id, 1);
    CHECK_EQUAL(world_hear(&world, &client).id, 2);
    CHECK_EQUAL(world_hear(&world, &client).type, DROP_GOAWAY);
    CHECK(world_happening(&world, DROP_DRAINED) != NULL);
    world_hang_up(&world, &client);
    tear_down();
}

static void test_pool_drains(void)
{
    set_up(DROP_KIND_LINE, 1);
    struct world_client client = world_join(&world);
    world_ask(&client, DROP_CALL, 1, "p", "x");
    world_ask(&client, DROP_CALL, 2, "p", "x");
    world_turn(&world);
    world_command(&world, DROP_COMMAND_POOL_DRAIN, pool->id, 0, 0, NULL, 0);
    world_turn(&world);
    world_say(&world, &worker, "1\n");
    CHECK(world_happening(&world, DROP_POOL_DRAINED) == NULL);
    world_say(&world, &worker, "2\n");
    CHECK(world_happening(&world, DROP_POOL_DRAINED) != NULL);
    world_hang_up(&world, &client);
    tear_down();
}

/* Everything is open, waits or is under way when the reactor stops. */
static void test_stop_in_the_middle(void)
{
    set_up(DROP_KIND_LINE, 1);
    struct drop_pool *control = world_pool(&world, "$control", DROP_KIND_CONTROL);
    struct world_client caller = world_join(&world);
    struct world_client slow = stop_worker(&caller, "3\nhalf");
    world_ask(&caller, DROP_CALL, 5, "$control", "x");
    world_turn(&world);
    static const char batch[2000 * 4];
    world_command(&world, DROP_COMMAND_PUBLISH, 1, pool->id, 2000, batch, sizeof batch);
    world_command(&world, DROP_COMMAND_SUBSCRIBE, 2, pool->id, control->id << 1, NULL, 0);
    world_turn(&world);
    CHECK(world.reactor->pending > 0 && world.reactor->batches);
    CHECK_EQUAL(world_close(&world), 0);
    close(caller.fd);
    close(slow.fd);
    free(caller.bytes);
    free(slow.bytes);
    close(worker.input);
    close(worker.output);
}

/* It fails in order, and closes nothing that it did not open. */
static void test_no_descriptors_left(void)
{
    struct drop_reactor_options options = world_options();
    struct rlimit before, none;
    int spare = open("/dev/null", O_RDONLY | O_CLOEXEC); /* may become descriptor 0 */
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int open_before = fcntl(0, F_GETFD);
    for (rlim_t more = 0; more < 3; more++) {
        none = before;
        none.rlim_cur = (rlim_t)spare + 1 + more;
        setrlimit(RLIMIT_NOFILE, &none);
        struct drop_reactor *reactor = drop_reactor_create(&options);
        setrlimit(RLIMIT_NOFILE, &before);
        CHECK(reactor == NULL);
        CHECK_EQUAL(fcntl(0, F_GETFD), open_before);
    }
    close(spare);
}

/* ---- with its thread ---- */

enum { CALLERS = 3, CALLS = 200 };

static void *echo(void *argument)
{
    struct world_worker *mine = argument;
    char bytes[4096];
    ssize_t count;
    while ((count = read(mine->input, bytes, sizeof bytes)) > 0)
        if (write(mine->output, bytes, (size_t)count) != count)
            break;
    close(mine->output);
    return NULL;
}

struct caller {
    struct sockaddr_un address;
    struct drop_reactor *reactor;
    int answered;
};

static void *call(void *argument)
{
    struct caller *caller = argument;
    char bytes[256];
    int fd = connect_to(&caller->address);
    size_t length = world_put_hello(bytes);
    ssize_t welcome = DROP_FRAME_HEADER + 12 + 2;
    if (send(fd, bytes, length, 0) != (ssize_t)length
        || recv(fd, bytes, (size_t)welcome, MSG_WAITALL) != welcome)
        return NULL;
    for (uint64_t id = 0; id < CALLS; id++) {
        length = world_put(bytes, DROP_CALL, id, "p", "hello", 5);
        ssize_t expected = DROP_FRAME_HEADER + 5;
        if (send(fd, bytes, length, 0) != (ssize_t)length
            || recv(fd, bytes, (size_t)expected, MSG_WAITALL) != expected)
            break;
        caller->answered += bytes[6] == DROP_OK && memcmp(bytes + 16, "hello", 5) == 0;
        if (id % 16 == 0)
            drop_channel_send(&caller->reactor->commands,
                              drop_record_create(DROP_COMMAND_STATISTICS, id, 0, 0, 0));
    }
    close(fd);
    return NULL;
}

static void wait_for(enum drop_happening kind)
{
    struct pollfd happening = {.fd = world.reactor->happenings.event_fd, .events = POLLIN};
    while (!world_happening(&world, kind))
        poll(&happening, 1, 10000);
}

static void test_thread(void)
{
    pthread_t echoer, threads[CALLERS];
    struct caller callers[CALLERS];
    struct sockaddr_un address;
    set_up(DROP_KIND_FRAME, 8);
    fcntl(worker.input, F_SETFL, 0);
    fcntl(worker.output, F_SETFL, 0);
    world_command(&world, DROP_COMMAND_LISTEN, 7, (uint64_t)listen_at(&address), 1, NULL, 0);
    drop_reactor_unwatch(world.reactor, &world.tick); /* it would keep the thread busy */
    CHECK_EQUAL(drop_reactor_start(world.reactor), 0);
    REQUIRE(pthread_create(&echoer, NULL, echo, &worker) == 0);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){.address = address, .reactor = world.reactor};
        REQUIRE(pthread_create(&threads[i], NULL, call, &callers[i]) == 0);
    }
    wait_for(DROP_STATISTICS_READY);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQUAL(callers[i].answered, CALLS);
    }
    world_command(&world, DROP_COMMAND_WORKER_REMOVE, worker.id, 1, 0, NULL, 0);
    wait_for(DROP_WORKER_DRAINED);
    world_command(&world, DROP_COMMAND_DRAIN, 0, 0, 0, NULL, 0);
    wait_for(DROP_DRAINED);
    CHECK_EQUAL(world_close(&world), 0);
    pthread_join(echoer, NULL);
    close(worker.input);
}

int main(void)
{
    RUN(test_worker_dies_when_a_connection_is_buried);
    RUN(test_connection_dies_when_another_is_buried);
    RUN(test_listener_ends_with_a_caller_at_the_door);
    RUN(test_too_many_connections);
    RUN(test_drain_finishes_what_was_accepted);
    RUN(test_pool_drains);
    RUN(test_stop_in_the_middle);
    RUN(test_no_descriptors_left);
    RUN(test_thread);
    return check_summary();
}
