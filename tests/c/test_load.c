/* The load generator against a peer in a thread, over socket pairs: the peer checks every byte of a
 * call and answers well, in pieces, twice, with errors, not at all, or says GOAWAY. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "load.h"

#define MS 1000000ull
#define PEERS_MAX 8
#define FRAME_MAX 512
#define CALL_HEAD (16 + 4 + 4) /* header, timeout_ms, "echo" */

enum behaviour {
    ECHO,
    IN_PIECES,
    ANSWER_TWICE,
    REFUSE,
    ALTER,
    SAY_GOODBYE,
    SEND_EVENT,
    HANG_UP,
    BE_SILENT,
};

struct peer {
    int fds[PEERS_MAX];
    int count;
    enum behaviour behaviour;
    unsigned long long calls;
    bool wrong; /* a call was not as the plan says */
    uint8_t input[PEERS_MAX][1 << 16];
    size_t length[PEERS_MAX];
};

static void send_all(int fd, const uint8_t *bytes, size_t length, bool in_pieces)
{
    while (length != 0) {
        ssize_t sent = send(fd, bytes, in_pieces ? 1 : length, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Answers one call; false when the connection is to be closed. */
static bool peer_answer(struct peer *peer, int fd, const uint8_t *call, size_t length)
{
    uint8_t answer[FRAME_MAX] = {0, 0, 0, (uint8_t)(length - CALL_HEAD + 12), 0x82, 0, 0, 0};
    memcpy(answer + 8, call + 8, 8);
    memcpy(answer + 16, call + CALL_HEAD, length - CALL_HEAD);
    size_t size = 16 + length - CALL_HEAD;
    switch (peer->behaviour) {
    case ECHO:
    case IN_PIECES:
        break;
    case ANSWER_TWICE:
        send_all(fd, answer, size, false);
        break;
    case REFUSE:
        answer[6] = 3;
        break;
    case ALTER:
        answer[size - 1] ^= 1;
        break;
    case SAY_GOODBYE:
        answer[4] = 0x8f;
        answer[6] = 8;
        break;
    case SEND_EVENT:
        answer[4] = 0x85;
        break;
    case HANG_UP:
        return false;
    case BE_SILENT:
        return true;
    }
    send_all(fd, answer, size, peer->behaviour == IN_PIECES);
    return peer->behaviour != SAY_GOODBYE;
}

static bool peer_serve(struct peer *peer, int i, size_t payload_length)
{
    uint8_t *input = peer->input[i];
    size_t room = sizeof peer->input[i] - peer->length[i];
    ssize_t got = recv(peer->fds[i], input + peer->length[i], room, 0);
    if (got <= 0)
        return false;
    peer->length[i] += (size_t)got;
    size_t size = CALL_HEAD + payload_length, at = 0;
    for (; peer->length[i] - at >= size; at += size) {
        const uint8_t head[] = {0, 0, 0, (uint8_t)(size - 4), 0x02, 0, 4, 0};
        peer->calls++;
        if (memcmp(input + at, head, 8) != 0 || memcmp(input + at + 16, "\0\0\0\7echo", 8) != 0 ||
            memcmp(input + at + CALL_HEAD, "0123456789", payload_length) != 0)
            peer->wrong = true;
        if (!peer_answer(peer, peer->fds[i], input + at, size))
            return false;
    }
    peer->length[i] -= at;
    memmove(input, input + at, peer->length[i]);
    return true;
}

#define PAYLOAD 10

static void *peer_run(void *argument)
{
    struct peer *peer = argument;
    for (int open = peer->count; open > 0;) {
        struct pollfd waits[PEERS_MAX];
        for (int i = 0; i < peer->count; i++)
            waits[i] = (struct pollfd){.fd = peer->fds[i], .events = POLLIN};
        poll(waits, (nfds_t)peer->count, -1);
        for (int i = 0; i < peer->count; i++) {
            if (waits[i].revents == 0 || peer_serve(peer, i, PAYLOAD))
                continue;
            close(peer->fds[i]);
            peer->fds[i] = -1;
            open--;
        }
    }
    return NULL;
}

struct outcome {
    struct drop_load_result result;
    unsigned long long calls;
    bool wrong;
};

/* Runs a load against a peer of this behaviour; small socket buffers make sends fail half way. */
static struct outcome run_load(enum behaviour behaviour, int connections, uint32_t depth,
                               uint64_t ms, bool verify)
{
    struct peer *peer = calloc(1, sizeof *peer);
    int fds[PEERS_MAX], small = 4096;
    peer->behaviour = behaviour;
    peer->count = connections;
    for (int i = 0; i < connections; i++) {
        int pair[2];
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        fds[i] = pair[0];
        peer->fds[i] = pair[1];
    }
    pthread_t thread;
    pthread_create(&thread, NULL, peer_run, peer);
    struct drop_load_plan plan = {
        .fds = fds, .connections = (uint32_t)connections, .depth = depth,
        .pool = (const uint8_t *)"echo", .pool_length = 4,
        .payload = (const uint8_t *)"0123456789", .payload_length = PAYLOAD,
        .timeout_ms = 7, .warmup_ns = 10 * MS, .duration_ns = ms * MS, .verify = verify,
    };
    struct drop_load *load = drop_load_create(&plan);
    struct outcome outcome = {.result = *drop_load_run(load)};
    drop_load_destroy(load);
    for (int i = 0; i < connections; i++)
        close(fds[i]);
    pthread_join(thread, NULL);
    outcome.calls = peer->calls;
    outcome.wrong = peer->wrong;
    free(peer);
    return outcome;
}

static struct outcome run(enum behaviour behaviour, int connections, uint32_t depth, uint64_t ms)
{
    return run_load(behaviour, connections, depth, ms, true);
}

static void check_clean(const struct outcome *outcome)
{
    CHECK_EQUAL(outcome->result.end, DROP_LOAD_DONE);
    CHECK(!outcome->wrong);
    CHECK(outcome->result.messages > 0);
    CHECK(outcome->calls >= outcome->result.messages);
    CHECK_EQUAL(outcome->result.unanswered, 0);
    CHECK(drop_histogram_quantile(&outcome->result.latency, 0.5) > 0);
}

static void test_every_call_is_answered_once(void)
{
    static const struct { int connections; uint32_t depth; } shapes[] = {
        {1, 1}, {1, 7}, {1, 1000}, {8, 1}, {8, 300},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int verify = 0; verify < 2; verify++) {
            struct outcome outcome =
                run_load(ECHO, shapes[i].connections, shapes[i].depth, 50, verify);
            check_clean(&outcome);
        }
    }
}

static void test_answers_cut_anywhere(void)
{
    struct outcome outcome = run(IN_PIECES, 1, 3, 50);
    check_clean(&outcome);
    outcome = run_load(IN_PIECES, 3, 20, 50, false);
    check_clean(&outcome);
}

static void test_a_second_answer_is_found(void)
{
    for (int verify = 0; verify < 2; verify++) {
        struct outcome outcome = run_load(ANSWER_TWICE, 1, 4, 1000, verify);
        CHECK_EQUAL(outcome.result.end, DROP_LOAD_UNEXPECTED);
        CHECK(strstr(outcome.result.text, "no outstanding call") != NULL);
    }
}

static void test_an_altered_answer_is_found(void)
{
    CHECK_EQUAL(run(ALTER, 1, 4, 1000).result.end, DROP_LOAD_ALTERED);
    CHECK_EQUAL(run(ALTER, 2, 1, 1000).result.end, DROP_LOAD_ALTERED);
}

/* 3000 slots are refused for 100 ms: each wake-up, every 10 ms, calls for 1024 of them at most. */
static void test_refusals_do_not_spin(void)
{
    for (int connections = 1; connections <= 3; connections += 2) {
        struct outcome outcome = run(REFUSE, connections, 3000 / (uint32_t)connections, 100);
        CHECK_EQUAL(outcome.result.end, DROP_LOAD_DONE);
        CHECK_EQUAL(outcome.result.messages, 0);
        CHECK_EQUAL(outcome.result.unanswered, 0);
        CHECK_EQUAL(outcome.result.status, 3);
        CHECK(strcmp(outcome.result.text, "0123456789") == 0);
        CHECK(outcome.result.errors[3] > 1024);
        CHECK(outcome.calls <= 3000 + 13 * 1024);
    }
}

static void test_goodbye_is_reported(void)
{
    struct outcome outcome = run(SAY_GOODBYE, 2, 4, 1000);
    CHECK_EQUAL(outcome.result.end, DROP_LOAD_GOAWAY);
    CHECK_EQUAL(outcome.result.status, 8);
    CHECK(strcmp(outcome.result.text, "0123456789") == 0);
}

static void test_other_ends(void)
{
    CHECK_EQUAL(run(HANG_UP, 1, 4, 1000).result.end, DROP_LOAD_CLOSED);
    CHECK_EQUAL(run(HANG_UP, 2, 4, 1000).result.end, DROP_LOAD_CLOSED);
    CHECK_EQUAL(run(SEND_EVENT, 1, 1, 1000).result.end, DROP_LOAD_UNEXPECTED);
}

static void test_silence_ends_in_time(void)
{
    struct outcome outcome = run(BE_SILENT, 1, 4, 50);
    CHECK_EQUAL(outcome.result.end, DROP_LOAD_DONE);
    CHECK_EQUAL(outcome.result.messages, 0);
    CHECK_EQUAL(outcome.result.unanswered, 4);
}

int main(void)
{
    RUN(test_every_call_is_answered_once);
    RUN(test_answers_cut_anywhere);
    RUN(test_a_second_answer_is_found);
    RUN(test_an_altered_answer_is_found);
    RUN(test_refusals_do_not_spin);
    RUN(test_goodbye_is_reported);
    RUN(test_other_ends);
    RUN(test_silence_ends_in_time);
    return check_summary();
}
