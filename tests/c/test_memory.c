/* Blocks, buffers and queues of messages: the budget, reuse, and live bytes in one piece. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "buffer.h"
#include "check.h"
#include "message.h"

static struct drop_memory memory;

static void test_sizes(void)
{
    static const size_t sizes[][2] = {{0, 128},         {1, 128},           {128, 128},
                                      {129, 256},       {4096, 4096},       {4097, 8192},
                                      {1 << 20, 1 << 20}, {(1 << 20) + 1, (1 << 20) + 4096}};
    drop_memory_init(&memory, 8 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t capacity = 0;
        char *block = drop_memory_take(&memory, sizes[i][0], &capacity);
        REQUIRE(block);
        CHECK_EQUAL(capacity, sizes[i][1]);
        CHECK_EQUAL(memory.in_use, capacity);
        memset(block, 1, capacity);
        drop_memory_give(&memory, block, capacity);
    }
    CHECK_EQUAL(memory.in_use, 0);
    drop_memory_close(&memory);
    CHECK_EQUAL(memory.cached, 0);
}

static void test_blocks_come_back(void)
{
    size_t capacity;
    drop_memory_init(&memory, 1 << 20);
    void *block = drop_memory_take(&memory, 1000, &capacity);
    drop_memory_give(&memory, block, capacity);
    CHECK_EQUAL(memory.cached, 1024);
    CHECK(drop_memory_take(&memory, 600, &capacity) == block);
    CHECK_EQUAL(memory.cached, 0);
    drop_memory_give(&memory, block, capacity);
    drop_memory_give(&memory, NULL, 0);
    drop_memory_close(&memory);
}

static void test_budget(void)
{
    size_t capacity;
    drop_memory_init(&memory, 1024);
    void *first = drop_memory_take(&memory, 512, &capacity);
    void *second = drop_memory_take(&memory, 512, &capacity);
    CHECK(first && second && !drop_memory_take(&memory, 1, &capacity));
    CHECK_EQUAL(memory.refusals, 1);
    drop_memory_give(&memory, first, 512);
    CHECK(!drop_memory_take(&memory, 513, &capacity));
    first = drop_memory_take(&memory, 1, &capacity);
    CHECK(first != NULL);
    drop_memory_give(&memory, first, capacity);
    drop_memory_give(&memory, second, 512);
    CHECK(!drop_memory_take(&memory, SIZE_MAX / 2, &capacity));
    drop_memory_close(&memory);
}

/* Against a plain array: random appends and consumptions, with every byte looked at. */
static void test_buffer_keeps_its_bytes(void)
{
    struct drop_buffer buffer = {0};
    unsigned written = 0, read = 0, random = 1;
    char piece[5000];
    drop_memory_init(&memory, 1 << 20);
    for (int round = 0; round < 2000; round++) {
        random = random * 1103515245 + 12345;
        size_t size = (random >> 8) % (round % 10 ? 50 : sizeof piece);
        for (size_t i = 0; i < size; i++)
            piece[i] = (char)written++;
        REQUIRE(drop_buffer_append(&buffer, &memory, piece, size) == 0);
        random = random * 1103515245 + 12345;
        size_t taken = (random >> 8) % (drop_buffer_length(&buffer) + 1);
        for (size_t i = 0; i < taken; i++)
            CHECK(drop_buffer_data(&buffer)[i] == (char)read++);
        drop_buffer_consume(&buffer, &memory, taken);
        CHECK_EQUAL(drop_buffer_length(&buffer), written - read);
        CHECK(drop_buffer_length(&buffer) || !buffer.bytes);
    }
    drop_buffer_release(&buffer, &memory);
    CHECK_EQUAL(memory.in_use, 0);
    drop_memory_close(&memory);
}

static void test_buffer_without_memory_is_unchanged(void)
{
    struct drop_buffer buffer = {0};
    char big[4096] = {0};
    drop_memory_init(&memory, 2048);
    CHECK_EQUAL(drop_buffer_append(&buffer, &memory, "abc", 3), 0);
    CHECK_EQUAL(drop_buffer_append(&buffer, &memory, big, sizeof big), -1);
    CHECK_BYTES(drop_buffer_data(&buffer), drop_buffer_length(&buffer), "abc");
    drop_buffer_consume(&buffer, &memory, 3);
    CHECK_EQUAL(memory.in_use, 0);
    drop_memory_close(&memory);
}

static struct drop_message *message(uint64_t id)
{
    struct drop_ticket ticket = {.id = id};
    return drop_message_create(&memory, &ticket, "payload", 7, NULL);
}

static void check_pop(struct drop_queue *queue, uint64_t id)
{
    struct drop_message *popped = drop_queue_pop(queue);
    REQUIRE(popped);
    CHECK_EQUAL(popped->ticket.id, id);
    CHECK_BYTES(popped->payload, popped->length, "payload");
    drop_message_destroy(&memory, popped);
}

static void test_queue(void)
{
    struct drop_queue queue;
    drop_memory_init(&memory, 1 << 20);
    drop_queue_init(&queue);
    CHECK(drop_queue_pop(&queue) == NULL);
    drop_queue_push_front(&queue, message(2));
    drop_queue_push(&queue, message(3));
    drop_queue_push_front(&queue, message(1));
    drop_queue_push(&queue, message(4));
    CHECK_EQUAL(queue.count, 4);
    struct drop_message *third = drop_queue_unlink(&queue, &queue.first->next->next);
    CHECK_EQUAL(third->ticket.id, 3);
    drop_message_destroy(&memory, third);
    struct drop_message *last = drop_queue_unlink(&queue, &queue.first->next->next);
    CHECK_EQUAL(last->ticket.id, 4);
    drop_message_destroy(&memory, last);
    drop_queue_push(&queue, message(5));
    check_pop(&queue, 1);
    check_pop(&queue, 2);
    check_pop(&queue, 5);
    CHECK_EQUAL(queue.count, 0);
    drop_queue_push(&queue, message(6));
    check_pop(&queue, 6);
    CHECK_EQUAL(memory.in_use, 0);
    drop_memory_close(&memory);
}

int main(void)
{
    RUN(test_sizes);
    RUN(test_blocks_come_back);
    RUN(test_budget);
    RUN(test_buffer_keeps_its_bytes);
    RUN(test_buffer_without_memory_is_unchanged);
    RUN(test_queue);
    return check_summary();
}
