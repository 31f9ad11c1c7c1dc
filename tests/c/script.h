/* For tests of spawning: runs a shell script as a recipe says, and takes its output. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "recipe.h"

#define NOBODY 65534u

struct script {
    char out[2048]; /* stdout and stderr, with a terminator */
    int code;       /* exit code, or -1 */
    struct drop_spawn_result result;
};

/* What a recipe for `sh -c text` starts from. */
static inline struct drop_recipe_parameters script_parameters(char *const *argv)
{
    static char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    return (struct drop_recipe_parameters){
        .argv = argv,
        .environment = environment,
        .uid = DROP_SPAWN_UNCHANGED,
        .gid = DROP_SPAWN_UNCHANGED,
        .confinement = DROP_CONFINE_NOTHING,
    };
}

/* Runs slot 0 of the recipe to its end. */
static inline struct script run_recipe(const struct drop_recipe *recipe)
{
    struct script script = {.code = -1};
    int output[2], null = open("/dev/null", O_RDWR | O_CLOEXEC), status = 0;
    if (null < 0 || pipe2(output, O_CLOEXEC) != 0)
        abort();
    const int stream[3] = {null, output[1], output[1]};
    drop_recipe_spawn(recipe, 0, stream, &script.result);
    close(output[1]);
    close(null);
    size_t length = 0, room = sizeof script.out - 1;
    for (ssize_t got; (got = read(output[0], script.out + length, room - length)) > 0;)
        length += (size_t)got;
    script.out[length] = '\0';
    close(output[0]);
    if (script.result.pid > 0) {
        waitpid(script.result.pid, &status, 0);
        close(script.result.pidfd);
        script.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    return script;
}

/* Runs `sh -c text` as `parameters` say, whose argv is replaced. */
static inline struct script run_script_as(struct drop_recipe_parameters parameters, char *text)
{
    char *const argv[] = {"sh", "-c", text, NULL};
    struct drop_recipe *recipe;
    parameters.argv = argv;
    if (drop_recipe_create(&parameters, &recipe) != 0)
        abort();
    struct script script = run_recipe(recipe);
    drop_recipe_release(recipe);
    return script;
}

#define CHECK_OUTPUT(script, expected) CHECK_BYTES((script).out, strlen((script).out), expected)

/* For tests of what only root may do; says so where it cannot. */
static inline bool is_root(const char *test)
{
    if (geteuid() == 0)
        return true;
    fprintf(stderr, "%s: skipped, it needs root\n", test);
    return false;
}

#endif
