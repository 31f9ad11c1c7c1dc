/* Nodes and the list of a mailbox; see message.h. */
#include "message.h"

#include <stddef.h>
#include <string.h>

#include "limits.h"

struct drop_message *drop_message_create(struct drop_memory *memory,
                                         const struct drop_ticket *ticket, const char *payload,
                                         uint32_t length, struct drop_buffer *lender)
{
    size_t capacity;
    size_t size = offsetof(struct drop_message, content) + length;
    struct drop_buffer held = {0};
    struct drop_buffer lent = lender ? *lender : held;
    bool large = length > DROP_LARGE && drop_buffer_adopt(&held, lender, payload, length, 0, 0);
    if (large || size < sizeof(struct drop_message))
        size = sizeof(struct drop_message);
    struct drop_message *message = drop_memory_take(memory, size, &capacity);
    if (!message) {
        if (large)
            *lender = lent;
        return NULL;
    }
    message->next = NULL;
    message->ticket = *ticket;
    message->capacity = capacity;
    message->length = length;
    message->large = large;
    message->payload = message->content;
    if (large) {
        message->held = held;
        message->payload = drop_buffer_data(&message->held);
    } else if (length) {
        memcpy(message->payload, payload, length);
    }
    return message;
}

void drop_message_destroy(struct drop_memory *memory, struct drop_message *message)
{
    if (message->large)
        drop_buffer_release(&message->held, memory);
    drop_memory_give(memory, message, message->capacity);
}

void drop_queue_push(struct drop_queue *queue, struct drop_message *message)
{
    message->next = NULL;
    *queue->last = message;
    queue->last = &message->next;
    queue->count++;
}

void drop_queue_push_front(struct drop_queue *queue, struct drop_message *message)
{
    message->next = queue->first;
    queue->first = message;
    if (!message->next)
        queue->last = &message->next;
    queue->count++;
}

struct drop_message *drop_queue_pop(struct drop_queue *queue)
{
    return queue->first ? drop_queue_unlink(queue, &queue->first) : NULL;
}

struct drop_message *drop_queue_unlink(struct drop_queue *queue, struct drop_message **link)
{
    struct drop_message *message = *link;
    *link = message->next;
    if (!*link)
        queue->last = link;
    queue->count--;
    return message;
}
