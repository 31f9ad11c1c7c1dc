/* Records between threads: each sender's come in order, none is lost, and the eventfd tells of them
 * (run this under ThreadSanitizer too). */
#define _GNU_SOURCE
#include <poll.h>
#include <stdlib.h>

#include "channel.h"
#include "check.h"

enum { SENDERS = 3, RECORDS = 2000 };

static struct drop_channel channel;

static bool is_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

static void test_in_order(void)
{
    REQUIRE(drop_channel_init(&channel) == 0);
    CHECK(!is_readable(channel.event_fd));
    CHECK(drop_channel_take(&channel) == NULL);
    for (uint64_t i = 0; i < 3; i++) {
        struct drop_record *record = drop_record_create(7, i, 8, 9, 2);
        REQUIRE(record);
        memcpy(record->bytes, "hi", 2);
        drop_channel_send(&channel, record);
    }
    CHECK(is_readable(channel.event_fd));
    struct drop_record *record = drop_channel_take(&channel);
    CHECK(!is_readable(channel.event_fd));
    for (uint64_t i = 0; i < 3; i++) {
        REQUIRE(record);
        struct drop_record *next = record->next;
        CHECK(record->kind == 7 && record->a == i && record->b == 8 && record->c == 9);
        CHECK_BYTES(record->bytes, record->length, "hi");
        free(record);
        record = next;
    }
    CHECK(record == NULL);
    drop_channel_send(&channel, drop_record_create(1, 0, 0, 0, 0)); /* freed by close */
    drop_channel_close(&channel);
}

static void *send_all(void *argument)
{
    const uint64_t *sender = argument;
    for (uint64_t i = 0; i < RECORDS; i++)
        drop_channel_send(&channel, drop_record_create(1, *sender, i, 0, 0));
    return NULL;
}

static void test_many_senders(void)
{
    pthread_t threads[SENDERS];
    uint64_t numbers[SENDERS], expected[SENDERS] = {0};
    REQUIRE(drop_channel_init(&channel) == 0);
    for (uint64_t i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(&threads[i], NULL, send_all, &numbers[i]) == 0);
    }
    for (unsigned taken = 0; taken < SENDERS * RECORDS;) {
        struct pollfd wait = {.fd = channel.event_fd, .events = POLLIN};
        REQUIRE(poll(&wait, 1, 10000) == 1); /* a lost wake-up would end here */
        struct drop_record *record = drop_channel_take(&channel);
        for (struct drop_record *next; record; record = next, taken++) {
            next = record->next;
            CHECK(record->a < SENDERS && record->b == expected[record->a]++);
            free(record);
        }
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    drop_channel_close(&channel);
}

int main(void)
{
    RUN(test_in_order);
    RUN(test_many_senders);
    return check_summary();
}
