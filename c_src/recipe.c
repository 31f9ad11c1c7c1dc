/* A recipe is one block of memory: the struct, then every list and text that it points to. */
#define _GNU_SOURCE
#include "recipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"

#define NUMBER_SIZE 12 /* digits of 32 bits and the terminator */

struct drop_recipe {
    atomic_uint references;
    struct drop_recipe_parameters own; /* all it points to is in this block */
    size_t environment_count;
    const char *memory_group; /* of `groups`, the one that counts what was killed in `counter` */
    const char *counter;      /* NULL: none does */
};

/* Hands out a block piece by piece. Without a block it only adds up what would be needed. */
struct arena {
    char *block;
    size_t used;
};

static void *take(struct arena *arena, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    void *piece = arena->block ? arena->block + arena->used : NULL;
    arena->used += (size + align - 1) / align * align;
    return piece;
}

static const void *copy(struct arena *arena, const void *bytes, size_t size)
{
    void *piece = take(arena, size);
    return piece && size ? memcpy(piece, bytes, size) : piece;
}

static const char *copy_text(struct arena *arena, const char *text)
{
    return text ? copy(arena, text, strlen(text) + 1) : NULL;
}

static size_t count_list(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

static const char *const *copy_list(struct arena *arena, const char *const *list)
{
    if (!list)
        return NULL;
    size_t count = count_list(list);
    const char **made = take(arena, (count + 1) * sizeof *made);
    for (size_t i = 0; i < count; i++) {
        const char *text = copy_text(arena, list[i]);
        if (made)
            made[i] = text;
    }
    if (made)
        made[count] = NULL;
    return made;
}

/* The same for lists in the form that execve takes, which says no "const". */
static char *const *copy_strings(struct arena *arena, char *const *list)
{
    return (char *const *)copy_list(arena, (const char *const *)list);
}

/* Everything but the descriptors. */
static struct drop_recipe *copy_all(struct arena *arena, const struct drop_recipe_parameters *from)
{
    struct drop_recipe *recipe = take(arena, sizeof *recipe);
    struct drop_recipe_parameters own = *from;
    struct drop_confinement *confinement = &own.confinement;
    own.argv = copy_strings(arena, from->argv);
    own.environment = copy_strings(arena, from->environment);
    own.number_variable = copy_text(arena, from->number_variable);
    own.directory = copy_text(arena, from->directory);
    own.groups = copy_list(arena, from->groups);
    confinement->private_directories = copy_list(arena, confinement->private_directories);
    confinement->private_options = copy_text(arena, confinement->private_options);
    confinement->kept = copy_list(arena, confinement->kept);
    confinement->writable = copy_list(arena, confinement->writable);
    confinement->limits = copy(arena, confinement->limits,
                               confinement->limit_count * sizeof *confinement->limits);
    if (recipe) {
        recipe->own = own;
        recipe->environment_count = count_list((const char *const *)own.environment);
        atomic_init(&recipe->references, 1);
    }
    return recipe;
}

static void find_counter(struct drop_recipe *recipe)
{
    const char *const *group = recipe->own.groups;
    recipe->counter = NULL;
    for (; group && *group && !recipe->counter; group++) {
        recipe->memory_group = *group;
        recipe->counter = drop_cgroup_counter(*group);
    }
}

static void close_descriptor(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Replaces a descriptor by a copy of it; 0 or an errno, with -1 in its place. */
static int own_descriptor(int *fd)
{
    if (*fd < 0)
        return 0;
    *fd = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    return *fd < 0 ? errno : 0;
}

int drop_recipe_create(const struct drop_recipe_parameters *parameters, struct drop_recipe **recipe)
{
    struct arena arena = {.block = NULL};
    copy_all(&arena, parameters);
    arena = (struct arena){.block = malloc(arena.used)};
    if (!arena.block)
        return ENOMEM;
    *recipe = copy_all(&arena, parameters);
    find_counter(*recipe);
    struct drop_confinement *confinement = &(*recipe)->own.confinement;
    int network_error = own_descriptor(&confinement->network);
    int landlock_error = own_descriptor(&confinement->landlock);
    if (network_error || landlock_error) {
        drop_recipe_release(*recipe);
        *recipe = NULL;
    }
    return network_error ? network_error : landlock_error;
}

void drop_recipe_retain(struct drop_recipe *recipe)
{
    atomic_fetch_add_explicit(&recipe->references, 1, memory_order_relaxed);
}

void drop_recipe_release(struct drop_recipe *recipe)
{
    if (atomic_fetch_sub_explicit(&recipe->references, 1, memory_order_acq_rel) != 1)
        return;
    close_descriptor(recipe->own.confinement.network);
    close_descriptor(recipe->own.confinement.landlock);
    free(recipe);
}

uint32_t drop_recipe_slots(const struct drop_recipe *recipe)
{
    return recipe->own.slots;
}

/* The environment of one slot, in one block to be freed; NULL without memory. */
static char **slot_environment(const struct drop_recipe *recipe, uint32_t slot)
{
    const char *name = recipe->own.number_variable;
    size_t count = recipe->environment_count, size = (count + 2) * sizeof(char *);
    size_t number_size = name ? strlen(name) + 1 + NUMBER_SIZE : 0;
    char **environment = malloc(size + number_size);
    if (!environment)
        return NULL;
    memcpy(environment, recipe->own.environment, count * sizeof *environment);
    if (name) {
        char *number = (char *)(environment + count + 2);
        snprintf(number, number_size, "%s=%u", name, slot + 1);
        environment[count++] = number;
    }
    environment[count] = NULL;
    return environment;
}

int drop_recipe_spawn(const struct drop_recipe *recipe, uint32_t slot, const int stream[3],
                      struct drop_spawn_result *result)
{
    const struct drop_recipe_parameters *own = &recipe->own;
    assert(own->slots == 0 || slot < own->slots);
    struct drop_cgroup_slot group;
    *result = (struct drop_spawn_result){.pid = -1, .pidfd = -1};
    char **environment = slot_environment(recipe, slot);
    if (!environment) {
        result->step = DROP_SPAWN_CLONE;
        return result->error = ENOMEM;
    }
    result->error = drop_cgroup_open(own->groups, slot, &group);
    if (result->error) {
        result->step = DROP_SPAWN_FIND_GROUP;
    } else {
        struct drop_spawn_request request = {
            .argv = own->argv,
            .environment = environment,
            .directory = own->directory,
            .stream = {stream[0], stream[1], stream[2]},
            .uid = own->uid,
            .gid = own->gid,
            .confinement = &own->confinement,
            .group = &group,
        };
        drop_spawn(&request, result);
        drop_cgroup_close(&group);
    }
    free(environment);
    return result->error;
}

/* Writes the slot's group below a parent; false when the name is too long to be one. */
static int slot_path(const char *parent, uint32_t slot, char path[PATH_MAX])
{
    int length = snprintf(path, PATH_MAX, "%s/%u", parent, slot);
    return length > 0 && length < PATH_MAX;
}

/* All hierarchies have the same members, since no worker may move itself; one is enough. */
void drop_recipe_kill_slot(const struct drop_recipe *recipe, uint32_t slot)
{
    char path[PATH_MAX];
    const char *const *groups = recipe->own.groups;
    if (groups && groups[0] && slot_path(groups[0], slot, path))
        drop_cgroup_kill(path);
}

uint64_t drop_recipe_oom_kills(const struct drop_recipe *recipe, uint32_t slot)
{
    char path[PATH_MAX];
    if (!recipe->counter || !slot_path(recipe->memory_group, slot, path))
        return 0;
    return drop_cgroup_oom_kills(path, recipe->counter);
}
