/* One pool, one worker, one client, and short words for what they do: for tests of one kind of
 * function in a world. */
#ifndef STAGE_H
#define STAGE_H

#include "check.h"
#include "world.h"

struct stage {
    struct world world;
    struct drop_pool *pool;
    struct world_worker worker;
    struct world_client client;
};

/* The pool is named "p"; its worker as world_worker_with says. */
static inline void stage_open_with(struct stage *stage, const struct drop_pool_options *options,
                                   const char *ready, pid_t pid)
{
    struct drop_reactor_options reactor_options = world_options();
    world_open(&stage->world, &reactor_options);
    stage->pool = world_pool_with(&stage->world, options);
    stage->worker = world_worker_with(&stage->world, stage->pool, ready, pid);
    stage->client = world_join(&stage->world);
}

static inline void stage_open(struct stage *stage, const struct drop_pool_options *options)
{
    stage_open_with(stage, options, "", 0);
}

static inline struct drop_pool_options stage_options(enum drop_kind kind)
{
    struct drop_pool_options options = world_pool_options("p", kind);
    options.inflight = 8;
    options.queue = 100;
    return options;
}

static inline void stage_close(struct stage *stage)
{
    world_hang_up(&stage->world, &stage->client);
    if (stage->worker.input >= 0)
        world_die(&stage->world, &stage->worker);
    CHECK_EQUAL(world_close(&stage->world), 0);
}

/* Calls "p" and lets the reactor work. */
static inline void stage_call(struct stage *stage, uint64_t id, const char *payload)
{
    world_ask(&stage->client, DROP_CALL, id, "p", payload);
    world_turn(&stage->world);
}

static inline void stage_call_within(struct stage *stage, uint64_t id, const char *payload,
                                     uint32_t timeout_ms)
{
    char frame[512];
    size_t length = world_put(frame, DROP_CALL, id, "p", payload, strlen(payload));
    drop_put_u32(frame + DROP_FRAME_HEADER, timeout_ms);
    CHECK_EQUAL(world_send(&stage->client, frame, length), length);
    world_turn(&stage->world);
}

#define CHECK_ANSWER(stage, id, status, text) \
    check_answer(__FILE__, __LINE__, stage, id, status, text)

/* `text` NULL: whatever it says. */
static inline void check_answer(const char *file, int line, struct stage *stage, uint64_t id,
                                enum drop_status status, const char *text)
{
    struct world_frame frame = world_hear(&stage->world, &stage->client);
    bool good = frame.type == DROP_ANSWER && frame.id == id && frame.code == status
                && frame.flags == 0
                && (!text
                    || (frame.length == strlen(text)
                        && memcmp(frame.body, text, frame.length) == 0));
    if (good)
        return;
    check_fail(file, line, "the answer");
    fprintf(stderr, "    type %u, flags %u, id %llu, status %u: %.*s\n", frame.type, frame.flags,
            (unsigned long long)frame.id, frame.code,
            frame.length < 200 ? (int)frame.length : 200, frame.length ? frame.body : "");
}

#define CHECK_SILENCE(stage) CHECK_EQUAL(world_hear(&(stage)->world, &(stage)->client).type, 0)

#define CHECK_INPUT(stage, expected) check_input(__FILE__, __LINE__, stage, expected)

/* What the worker finds in its stdin. */
static inline void check_input(const char *file, int line, const struct stage *stage,
                               const char *expected)
{
    char text[4096];
    world_read(&stage->worker, text, sizeof text);
    if (strcmp(text, expected) == 0)
        return;
    check_fail(file, line, "the worker's stdin");
    fprintf(stderr, "    has \"%s\", expected \"%s\"\n", text, expected);
}

#define CHECK_GONE(stage, reason) check_gone(__FILE__, __LINE__, stage, reason)

static inline void check_gone(const char *file, int line, struct stage *stage, const char *reason)
{
    const struct drop_record *gone = world_happening(&stage->world, DROP_WORKER_GONE);
    if (gone && gone->b == stage->worker.id && gone->length == strlen(reason)
        && memcmp(gone->bytes, reason, gone->length) == 0)
        return;
    check_fail(file, line, "the worker is gone");
    fprintf(stderr, "    for \"%.*s\", expected \"%s\"\n", gone ? (int)gone->length : 1,
            gone ? gone->bytes : "-", reason);
}

static inline void stage_command(struct stage *stage, enum drop_command kind, uint64_t a,
                                 uint64_t b)
{
    world_command(&stage->world, kind, a, b, 0, NULL, 0);
    world_turn(&stage->world);
}

static inline void stage_remove_worker(struct stage *stage, bool drain)
{
    stage_command(stage, DROP_COMMAND_WORKER_REMOVE, stage->worker.id, drain);
}

static inline void stage_say(struct stage *stage, const char *text)
{
    world_say(&stage->world, &stage->worker, text);
}

#endif
