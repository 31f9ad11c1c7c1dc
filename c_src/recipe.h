/* How the processes of one pool are started, kept for as long as they may be: an immutable copy of
 * all that a spawn needs, shared by whoever starts some. References are counted; any thread. */
#ifndef DROP_RECIPE_H
#define DROP_RECIPE_H

#include <stdint.h>
#include <sys/types.h>

#include "confine.h"
#include "spawner.h"

#define DROP_RECIPE_CAPSULE "drop.recipe" /* the name of the Python capsule that holds one */

struct drop_recipe;

/* All is borrowed for the duration of drop_recipe_create(). */
struct drop_recipe_parameters {
    char *const *argv; /* these two and `directory` as in struct drop_spawn_request */
    char *const *environment;
    const char *number_variable; /* NULL, or a variable that gets the slot's number, from 1 */
    const char *directory;
    uid_t uid;
    gid_t gid;
    struct drop_confinement confinement; /* its descriptors are copied */
    const char *const *groups; /* NULL, or control groups; a slot's are "GROUP/SLOT" */
    uint32_t slots;            /* 0 when `groups` is NULL */
};

/* Returns an errno, or 0 with one reference, the caller's, in `recipe`. */
int drop_recipe_create(const struct drop_recipe_parameters *parameters,
                       struct drop_recipe **recipe);

void drop_recipe_retain(struct drop_recipe *recipe);
void drop_recipe_release(struct drop_recipe *recipe);

/* How many processes may run at a time; each runs in a slot 0 .. count - 1 of its own, which is
 * what limits per process (a control group) hang on. 0: any number, there is no such limit. */
uint32_t drop_recipe_slots(const struct drop_recipe *recipe);

/* Starts a process in a free slot (any number when there are none). Like drop_spawn. */
int drop_recipe_spawn(const struct drop_recipe *recipe, uint32_t slot, const int stream[3],
                      struct drop_spawn_result *result);

/* Kills every process that is left in a slot, its leader's descendants in whatever session. */
void drop_recipe_kill_slot(const struct drop_recipe *recipe, uint32_t slot);

/* How often the kernel has killed a process of the slot for lack of memory, ever; 0 when nobody
 * counts. */
uint64_t drop_recipe_oom_kills(const struct drop_recipe *recipe, uint32_t slot);

#endif
