/* Nodes and the list of a mailbox; see message.h. */
#include "message.h"

#include <string.h>

struct drop_message *drop_message_create(struct drop_memory *memory,
                                         const struct drop_ticket *ticket, const char *payload,
                                         uint32_t length)
{
    size_t capacity;
    struct drop_message *message = drop_memory_take(memory, sizeof *message + length, &capacity);
    if (!message)
        return NULL;
    message->next = NULL;
    message->ticket = *ticket;
    message->capacity = capacity;
    message->length = length;
    if (length)
        memcpy(message->payload, payload, length);
    return message;
}

void drop_message_destroy(struct drop_memory *memory, struct drop_message *message)
{
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
