#define _GNU_SOURCE
#include "logcall.h"

#include <assert.h>
#include <sched.h>
#include <unistd.h>

/* The sequence lock of a mark, for a reader. */
static uint32_t begin(const struct drop_callmark *mark)
{
    return atomic_load_explicit(&mark->version, memory_order_acquire);
}

static bool is_torn(const struct drop_callmark *mark, uint32_t version)
{
    return (version & 1) || atomic_load_explicit(&mark->version, memory_order_relaxed) != version;
}

static uint64_t call_of_part(const struct drop_callmark *mark, uint64_t part)
{
    return atomic_load_explicit(&mark->parts[part % DROP_CALLMARK_PARTS].call,
                                memory_order_acquire);
}

void drop_logcall_look(const struct drop_logcall *call, struct drop_logcall_look *look)
{
    const struct drop_callmark *mark = call->mark;
    uint32_t version;
    *look = (struct drop_logcall_look){0};
    if (!mark)
        return;
    do {
        version = begin(mark);
        look->begun = atomic_load_explicit(&mark->begun, memory_order_acquire);
        look->running = atomic_load_explicit(&mark->running, memory_order_acquire);
        look->is_open = look->running && look->begun && call_of_part(mark, look->begun - 1);
    } while (is_torn(mark, version));
}

ssize_t drop_logcall_read(struct drop_logcall *call, int fd, void *bytes, size_t size)
{
    struct drop_callmark *mark = call->mark;
    if (!mark)
        return read(fd, bytes, size);
    while (!drop_callmark_try_pipe(mark)) /* the reactor holds it for one short system call */
        sched_yield();
    ssize_t length = read(fd, bytes, size);
    if (length > 0) {
        call->position += (uint64_t)length;
        atomic_store_explicit(&mark->taken, call->position, memory_order_relaxed);
    }
    drop_callmark_leave_pipe(mark);
    return length;
}

void drop_logcall_emptied(struct drop_logcall *call, const struct drop_logcall_look *look)
{
    call->before = *look;
}

bool drop_logcall_is_unsettled(const struct drop_logcall *call)
{
    return call->before.is_open;
}

/* From the newest part back to the one that has the position in it. */
static void copy_parts(const struct drop_callmark *mark, uint64_t position,
                       struct drop_logcall_view *view)
{
    uint64_t begun = atomic_load_explicit(&mark->begun, memory_order_acquire);
    view->count = 0;
    view->newest = begun - 1;
    while (view->count < DROP_CALLMARK_PARTS && view->count < begun) {
        uint64_t number = begun - 1 - view->count;
        uint64_t from = atomic_load_explicit(&mark->parts[number % DROP_CALLMARK_PARTS].from,
                                             memory_order_acquire);
        view->parts[view->count].from = from / 2;
        view->parts[view->count].is_vague = from & 1;
        view->parts[view->count].call = call_of_part(mark, number);
        view->count++;
        if (from / 2 <= position)
            break;
    }
}

void drop_logcall_view(const struct drop_logcall *call, uint64_t position,
                       struct drop_logcall_view *view)
{
    uint32_t version;
    view->count = view->at = 0;
    if (!call->mark)
        return;
    do {
        version = begin(call->mark);
        copy_parts(call->mark, position, view);
    } while (is_torn(call->mark, version));
    view->at = view->count;
}

uint64_t drop_logcall_of(struct drop_logcall_view *view, const struct drop_logcall_look *before,
                         uint64_t position, size_t length)
{
    assert(length > 0);
    while (view->at > 0 && view->parts[view->at - 1].from <= position)
        view->at--;
    if (view->at == view->count) /* before the first part, or in a forgotten one */
        return 0;
    if (view->at > 0 && view->parts[view->at - 1].from < position + length)
        return 0;
    bool began_before = view->newest - view->at < before->begun;
    if (began_before ? before->running == 0 : view->parts[view->at].is_vague)
        return 0;
    return view->parts[view->at].call;
}
