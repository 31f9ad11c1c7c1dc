/* Recipes: a copy that nothing else can change, shared by threads; control groups of its slots. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "script.h"

/* A group of a hierarchy for a test, or false where this machine lets us make none. */
static bool make_groups(const char *hierarchy, char parent[128], char slot[160])
{
    snprintf(parent, 128, "%s/drop-test-recipe-%d", hierarchy, getpid());
    snprintf(slot, 160, "%s/0", parent);
    if (access(hierarchy, W_OK) == 0 && mkdir(parent, 0755) == 0 && mkdir(slot, 0755) == 0)
        return true;
    fprintf(stderr, "skipped: no group can be made in %s\n", hierarchy);
    return false;
}

/* Its processes have been killed; they are gone when the directory can be removed. */
static void remove_groups(const char *parent, const char *slot)
{
    for (int tries = 0; rmdir(slot) != 0 && errno == EBUSY && tries < 5000; tries++)
        usleep(1000);
    CHECK_EQUAL(rmdir(parent), 0);
}

static void test_everything_is_copied(void)
{
    char text[] = "echo $MARK", mark[] = "MARK=before";
    char *argv[] = {"sh", "-c", text, NULL}, *environment[] = {"PATH=/usr/bin:/bin", mark, NULL};
    struct drop_recipe_parameters parameters = script_parameters(argv);
    struct drop_recipe *recipe;
    parameters.environment = environment;
    REQUIRE(drop_recipe_create(&parameters, &recipe) == 0);
    memset(text, 'x', strlen(text));
    memset(mark, 'x', strlen(mark));
    argv[0] = environment[0] = NULL;
    struct script script = run_recipe(recipe);
    CHECK_OUTPUT(script, "before\n");
    CHECK_EQUAL(drop_recipe_slots(recipe), 0);
    drop_recipe_retain(recipe);
    drop_recipe_release(recipe);
    script = run_recipe(recipe);
    CHECK_EQUAL(script.code, 0);
    drop_recipe_release(recipe);
}

static void test_number_of_the_slot(void)
{
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.number_variable = "NUMBER";
    struct script script = run_script_as(parameters, "echo $NUMBER");
    CHECK_OUTPUT(script, "1\n");
}

struct sharing {
    struct drop_recipe *recipe;
    pthread_barrier_t all_there; /* ThreadSanitizer wants no new thread after a spawn */
};

static void *spawn_some(void *argument)
{
    struct sharing *sharing = argument;
    pthread_barrier_wait(&sharing->all_there);
    for (int i = 0; i < 10; i++)
        if (run_recipe(sharing->recipe).code != 0)
            return argument;
    return NULL;
}

static void test_threads_share_a_recipe(void)
{
    char *const argv[] = {"true", NULL};
    struct drop_recipe_parameters parameters = script_parameters(argv);
    struct sharing sharing;
    pthread_t threads[4];
    REQUIRE(drop_recipe_create(&parameters, &sharing.recipe) == 0);
    pthread_barrier_init(&sharing.all_there, NULL, 4);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, spawn_some, &sharing) == 0);
    for (int i = 0; i < 4; i++) {
        void *failed = &sharing;
        pthread_join(threads[i], &failed);
        CHECK(failed == NULL);
    }
    pthread_barrier_destroy(&sharing.all_there);
    drop_recipe_release(sharing.recipe);
}

/* The process is in the group from the first, and what it leaves behind dies with the slot. */
static void check_slot(const char *hierarchy)
{
    char parent[128], slot[160];
    if (!make_groups(hierarchy, parent, slot))
        return;
    const char *const groups[] = {parent, NULL};
    char *const argv[] = {"sh", "-c",
                          "grep -c drop-test-recipe /proc/self/cgroup;"
                          "setsid sh -c 'while :; do sleep 9 & wait; done' > /dev/null 2>&1 &",
                          NULL};
    struct drop_recipe_parameters parameters = script_parameters(argv);
    struct drop_recipe *recipe;
    parameters.groups = groups;
    parameters.slots = 1;
    REQUIRE(drop_recipe_create(&parameters, &recipe) == 0);
    CHECK_EQUAL(drop_recipe_slots(recipe), 1);
    struct script script = run_recipe(recipe);
    CHECK_OUTPUT(script, "1\n");
    CHECK(rmdir(slot) != 0 && errno == EBUSY); /* somebody is left */
    drop_recipe_kill_slot(recipe, 0);
    remove_groups(parent, slot);
    CHECK_EQUAL(drop_recipe_oom_kills(recipe, 0), 0);
    script = run_recipe(recipe); /* the group is gone */
    CHECK_EQUAL(script.result.step, DROP_SPAWN_FIND_GROUP);
    CHECK_EQUAL(script.result.error, ENOENT);
    drop_recipe_kill_slot(recipe, 0);
    drop_recipe_release(recipe);
}

static void test_slot_of_version_1(void)
{
    check_slot("/sys/fs/cgroup/pids");
    CHECK(true);
}

static void test_slot_of_version_2(void)
{
    bool hybrid = access("/sys/fs/cgroup/unified", F_OK) == 0;
    check_slot(hybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup");
    CHECK(true);
}

/* The files of both versions, as they are; only the directory is an ordinary one. */
static void check_counter(const char *file, const char *text, uint64_t kills)
{
    char group[] = "/tmp/drop-test-recipe-XXXXXX", path[64];
    REQUIRE(mkdtemp(group));
    CHECK(drop_cgroup_counter(group) == NULL);
    CHECK_EQUAL(drop_cgroup_oom_kills(group, file), 0);
    snprintf(path, sizeof path, "%s/%s", group, file);
    FILE *made = fopen(path, "w");
    fputs(text, made);
    fclose(made);
    CHECK(strcmp(drop_cgroup_counter(group), file) == 0);
    CHECK_EQUAL(drop_cgroup_oom_kills(group, file), kills);
    unlink(path);
    rmdir(group);
}

static void test_counts_of_both_versions(void)
{
    check_counter("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3);
    check_counter("memory.events", "low 0\nmax 12\noom 2\noom_kill 7\noom_group_kill 0\n", 7);
    check_counter("memory.events", "low 0\n", 0);
}

int main(void)
{
    RUN(test_everything_is_copied);
    RUN(test_number_of_the_slot);
    RUN(test_threads_share_a_recipe);
    RUN(test_slot_of_version_1);
    RUN(test_slot_of_version_2);
    RUN(test_counts_of_both_versions);
    return check_summary();
}
