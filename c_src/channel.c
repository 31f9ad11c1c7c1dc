/* A mutex, a list, an eventfd; see channel.h. */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int drop_channel_init(struct drop_channel *channel)
{
    *channel = (struct drop_channel){.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    channel->last = &channel->first;
    if (channel->event_fd < 0)
        return errno;
    return pthread_mutex_init(&channel->mutex, NULL);
}

void drop_channel_close(struct drop_channel *channel)
{
    struct drop_record *record = channel->first;
    while (record) {
        struct drop_record *next = record->next;
        free(record);
        record = next;
    }
    channel->first = NULL;
    close(channel->event_fd);
    pthread_mutex_destroy(&channel->mutex);
}

struct drop_record *drop_record_create(uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
                                       size_t length)
{
    struct drop_record *record = malloc(sizeof *record + length);
    if (record)
        *record = (struct drop_record){.kind = kind, .a = a, .b = b, .c = c, .length = length};
    return record;
}

void drop_channel_send(struct drop_channel *channel, struct drop_record *record)
{
    record->next = NULL;
    pthread_mutex_lock(&channel->mutex);
    int was_empty = channel->first == NULL;
    *channel->last = record;
    channel->last = &record->next;
    pthread_mutex_unlock(&channel->mutex);
    if (was_empty) {
        uint64_t one = 1;
        /* It cannot fail: the counter is far from its maximum, since a taker resets it. */
        ssize_t written = write(channel->event_fd, &one, sizeof one);
        (void)written;
    }
}

struct drop_record *drop_channel_take(struct drop_channel *channel)
{
    uint64_t count;
    /* Reset before the list is taken: a record sent in between raises it again, never the other
     * way. */
    ssize_t got = read(channel->event_fd, &count, sizeof count);
    (void)got;
    pthread_mutex_lock(&channel->mutex);
    struct drop_record *first = channel->first;
    channel->first = NULL;
    channel->last = &channel->first;
    pthread_mutex_unlock(&channel->mutex);
    return first;
}
