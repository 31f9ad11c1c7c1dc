/* A pool of kind exec in a world, with real processes and the thread that starts them.
 *
 * What processes do takes time, so a test waits for it: PROCESSES_UNTIL lets the reactor sleep
 * until something happens, again and again. An alarm ends a test program that waits in vain. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <dirent.h>
#include <sys/wait.h>

#include "exec.h"
#include "execution.h"
#include "script.h"
#include "stage.h"

enum { PROCESSES_SECONDS_MAX = 60 };

struct processes {
    struct stage stage; /* its worker is not used */
    int descriptors;    /* that were open before */
};

static inline int processes_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    world_need(directory != NULL, "/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A turn that sleeps until something happens or a timer is due. */
static inline void processes_turn(struct processes *processes)
{
    struct world *world = &processes->stage.world;
    drop_reactor_unwatch(world->reactor, &world->tick);
    drop_reactor_turn(world->reactor);
    world_need(drop_reactor_watch(world->reactor, &world->tick, EPOLLIN) == 0, "epoll_ctl");
}

#define PROCESSES_UNTIL(processes, condition)                                                     \
    do                                                                                            \
        while (!(condition))                                                                      \
            processes_turn(processes);                                                            \
    while (0)

static inline struct drop_recipe *processes_recipe(char *script)
{
    char *const argv[] = {"sh", "-c", script, NULL};
    struct drop_recipe_parameters parameters = script_parameters(argv);
    struct drop_recipe *recipe;
    world_need(drop_recipe_create(&parameters, &recipe) == 0, "drop_recipe_create");
    return recipe;
}

/* Sends how the pool's processes are started, `spare` of them kept ready; done with the next turn.
 */
static inline void processes_configure(struct processes *processes, struct drop_recipe *recipe,
                                       uint32_t at_most, uint32_t spare)
{
    struct drop_exec_options options = {recipe, at_most, spare, spare};
    world_command(&processes->stage.world, DROP_COMMAND_EXEC, processes->stage.pool->id, 0, 0,
                  &options, sizeof options);
}

static inline void processes_open_with(struct processes *processes,
                                       const struct drop_pool_options *pool_options,
                                       const struct drop_reactor_options *options)
{
    struct stage *stage = &processes->stage;
    alarm(PROCESSES_SECONDS_MAX);
    processes->descriptors = processes_descriptors();
    world_open(&stage->world, options);
    stage->pool = world_pool_with(&stage->world, pool_options);
    stage->worker.input = stage->worker.output = -1;
    stage->client = world_join(&stage->world);
}

/* The pool "p" of `sh -c script`: at most two at a time, `spare` ready, which are awaited. */
static inline void processes_open(struct processes *processes, char *script, uint32_t spare)
{
    struct drop_pool_options pool_options = stage_options(DROP_KIND_EXEC);
    struct drop_reactor_options options = world_options();
    processes_open_with(processes, &pool_options, &options);
    processes_configure(processes, processes_recipe(script), 2, spare);
    world_turn(&processes->stage.world);
    PROCESSES_UNTIL(processes, processes->stage.pool->exec->ready == spare);
}

/* Nothing is left: no descriptor, no thread, no process, dead or alive. */
static inline void processes_close(struct processes *processes)
{
    world_hang_up(&processes->stage.world, &processes->stage.client);
    CHECK_EQUAL(world_close(&processes->stage.world), 0);
    CHECK_EQUAL(processes_descriptors(), processes->descriptors);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    alarm(0);
}

/* The next frame, however long it takes. */
static inline struct world_frame processes_hear(struct processes *processes)
{
    struct world_client *client = &processes->stage.client;
    struct world_frame frame = {0};
    world_receive(client);
    while (!world_frame(client, &frame)) {
        processes_turn(processes);
        world_receive(client);
    }
    return frame;
}

#define CHECK_RESULT(processes, id, status, text) \
    check_result(__FILE__, __LINE__, processes, id, status, text)

/* The next frame is the last or only one of this answer. `text` NULL: whatever it says. */
static inline void check_result(const char *file, int line, struct processes *processes,
                                uint64_t id, enum drop_status status, const char *text)
{
    struct world_frame frame = processes_hear(processes);
    check_equal(file, line, "type", frame.type, DROP_ANSWER);
    check_equal(file, line, "flags", frame.flags, 0);
    check_equal(file, line, "id", (long long)frame.id, (long long)id);
    check_equal(file, line, "status", frame.code, status);
    if (text)
        check_bytes(file, line, "text", frame.body, frame.length, text, strlen(text));
}

/* A call that may be answered in parts, and has `timeout_ms` unless that is 0. */
static inline void processes_call(struct processes *processes, uint64_t id, const char *payload,
                                  bool in_parts, uint32_t timeout_ms)
{
    char frame[512];
    size_t length = world_put(frame, DROP_CALL, id, "p", payload, strlen(payload));
    frame[5] = in_parts ? DROP_FLAG_PARTS : 0;
    drop_put_u32(frame + DROP_FRAME_HEADER, timeout_ms);
    CHECK_EQUAL(world_send(&processes->stage.client, frame, length), length);
    world_turn(&processes->stage.world);
}

#endif
