/* What a process gives up, seen from inside it: users, limits, privileges, mounts, network. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "script.h"

static const char *const private_directories[] = {"/tmp", "/var/tmp", NULL};

static void test_nothing_is_given_up_unasked(void)
{
    char *text = "grep NoNewPrivs /proc/self/status | cut -f 2; cat /proc/self/oom_score_adj";
    struct script script = run_script_as(script_parameters(NULL), text);
    FILE *own = fopen("/proc/self/oom_score_adj", "r");
    int score = -1, flag = -1, same = -1;
    CHECK(own && fscanf(own, "%d", &same) == 1);
    fclose(own);
    CHECK_EQUAL(sscanf(script.out, "%d %d", &flag, &score), 2);
    CHECK_EQUAL(flag, 0);
    CHECK_EQUAL(score, same);
}

static void test_limits_and_privileges(void)
{
    const struct drop_limit limits[] = {{RLIMIT_NOFILE, 77}, {RLIMIT_CORE, 0}, {RLIMIT_FSIZE, 512}};
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.limits = limits;
    parameters.confinement.limit_count = 3;
    parameters.confinement.no_new_privileges = 1;
    parameters.confinement.oom_score_adjust = 137;
    char *text = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -f; cat /proc/self/oom_score_adj;"
                 "grep NoNewPrivs /proc/self/status | cut -f 2";
    struct script script = run_script_as(parameters, text);
    CHECK_OUTPUT(script, "77\n77\n0\n1\n137\n1\n");
}

static void test_limit_above_the_hard_one(void)
{
    struct rlimit now;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &now) == 0);
    const struct drop_limit limit = {RLIMIT_NOFILE, 1u << 31}; /* above fs.nr_open as well */
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.limits = &limit;
    parameters.confinement.limit_count = 1;
    struct script script = run_script_as(parameters, "exit 0");
    CHECK_EQUAL(script.result.step, DROP_SPAWN_LIMITS);
    CHECK_EQUAL(script.result.error, EPERM);
}

static void test_another_user_has_no_capabilities(void)
{
    if (!is_root(__func__))
        return;
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.uid = parameters.gid = NOBODY;
    char *text = "id -u; id -G; grep -E 'Cap(Prm|Eff|Amb)' /proc/self/status | cut -f 2 | uniq";
    struct script script = run_script_as(parameters, text);
    CHECK_OUTPUT(script, "65534\n65534\n0000000000000000\n");
}

/* What a process has that has become somebody else and executes nothing yet: all that is permitted,
 * so that nobody of that user may attach to it, and nothing in force. */
static int what_is_kept(void)
{
    const struct drop_confinement confinement = {.no_capabilities = 1, .landlock = -1};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct before[2], after[2];
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) ||
        syscall(SYS_capget, &header, before))
        return 1;
    if (drop_confine_privileges(&confinement) != DROP_SPAWN_NONE ||
        syscall(SYS_capget, &header, after))
        return 2;
    if (after[0].effective || after[1].effective || after[0].inheritable || after[1].inheritable)
        return 3;
    return before[0].permitted == 0 || after[0].permitted != before[0].permitted ? 4 : 0;
}

static void test_nobody_may_attach_to_a_child_before_it_executes(void)
{
    if (!is_root(__func__))
        return;
    pid_t child = fork();
    if (child == 0)
        _exit(what_is_kept());
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(status, 0);
}

static void test_root_without_capabilities(void)
{
    if (!is_root(__func__))
        return;
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.no_capabilities = 1;
    char *text = "id -u; grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f 2 | uniq";
    struct script script = run_script_as(parameters, text);
    CHECK_OUTPUT(script, "0\n0000000000000000\n");
}

/* /tmp/drop-test-confine-X/in is what stays; returns the path of the outer directory. */
static char *make_kept(char outer[64], char inner[80])
{
    snprintf(outer, 64, "/tmp/drop-test-confine-XXXXXX");
    if (!mkdtemp(outer))
        abort();
    snprintf(inner, 80, "%s/in", outer);
    mkdir(inner, 0777);
    chmod(inner, 0777);
    return outer;
}

static void remove_kept(const char *outer, const char *inner)
{
    char path[96];
    snprintf(path, sizeof path, "%s/file", inner);
    unlink(path);
    rmdir(inner);
    rmdir(outer);
}

static void test_private_directories(void)
{
    char outer[64], inner[80];
    if (!is_root(__func__))
        return;
    make_kept(outer, inner);
    const char *const kept[] = {inner, NULL};
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.uid = parameters.gid = NOBODY;
    parameters.directory = inner;
    parameters.confinement.private_directories = private_directories;
    parameters.confinement.private_options = "mode=1777,size=1m";
    parameters.confinement.kept = kept;
    char *text = "ls /tmp | wc -l; ls /var/tmp | wc -l; touch file /tmp/drop-test-hidden && ls;"
                 "head -c 2M /dev/zero 2>&1 > /tmp/big | grep -o 'No space'";
    struct script script = run_script_as(parameters, text);
    CHECK_OUTPUT(script, "1\n0\nfile\nNo space\n");
    CHECK(access("/tmp/drop-test-hidden", F_OK) != 0); /* it went with the process */
    char path[96];
    snprintf(path, sizeof path, "%s/file", inner);
    CHECK(access(path, F_OK) == 0); /* what is kept is the real one */
    remove_kept(outer, inner);
}

static void test_read_only(void)
{
    char outer[64], inner[80];
    if (!is_root(__func__))
        return;
    make_kept(outer, inner);
    const char *const kept[] = {outer, NULL}, *const writable[] = {inner, NULL};
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.directory = outer;
    parameters.confinement.private_directories = private_directories;
    parameters.confinement.private_options = "mode=1777,size=1m";
    parameters.confinement.kept = kept;
    parameters.confinement.writable = writable;
    parameters.confinement.read_only = 1;
    char *text = "for path in in/file /tmp/x /var/tmp/x file /etc/drop-test-x; do "
                 "(echo 1 > $path) 2> /dev/null && echo $path; done";
    struct script script = run_script_as(parameters, text);
    CHECK_OUTPUT(script, "in/file\n/tmp/x\n/var/tmp/x\n");
    remove_kept(outer, inner);
}

static void test_missing_paths_are_named(void)
{
    if (!is_root(__func__))
        return;
    const char *const missing[] = {"/no/such/path", NULL};
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.read_only = 1;
    parameters.confinement.writable = missing;
    struct script script = run_script_as(parameters, "exit 0");
    CHECK_EQUAL(script.result.step, DROP_SPAWN_WRITABLE_PATHS);
    CHECK_EQUAL(script.result.error, ENOENT);
    parameters.confinement.kept = missing;
    script = run_script_as(parameters, "exit 0");
    CHECK_EQUAL(script.result.step, DROP_SPAWN_VISIBLE_PATHS);
    parameters.confinement.kept = NULL;
    parameters.confinement.private_directories = missing;
    parameters.confinement.writable = NULL;
    script = run_script_as(parameters, "exit 0");
    CHECK_EQUAL(script.result.step, DROP_SPAWN_PRIVATE_DIRECTORIES);
}

static void test_landlock(void)
{
    char outer[64], inner[80];
    make_kept(outer, inner);
    const char *const writable[] = {inner, NULL};
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.landlock = drop_confine_landlock_create(writable);
    if (parameters.confinement.landlock < 0) {
        CHECK(errno == ENOSYS || errno == EOPNOTSUPP);
        fprintf(stderr, "%s: skipped, this kernel has no landlock\n", __func__);
    } else {
        parameters.directory = outer;
        parameters.confinement.no_new_privileges = 1;
        char *text = "for path in in/file file ../drop-test-x /dev/null; do "
                     "(echo 1 > $path) 2> /dev/null && echo $path; done";
        struct script script = run_script_as(parameters, text);
        CHECK_OUTPUT(script, "in/file\n/dev/null\n");
        close(parameters.confinement.landlock);
    }
    const char *const missing[] = {"/no/such/path", NULL};
    CHECK_EQUAL(drop_confine_landlock_create(missing), -1);
    remove_kept(outer, inner);
}

static void test_no_network(void)
{
    if (!is_root(__func__))
        return;
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.network = drop_confine_network_create();
    REQUIRE(parameters.confinement.network >= 0);
    char *text = "grep -c : /proc/net/dev; grep -o lo /proc/net/dev; cat /sys/class/net/lo/flags;"
                 "wc -l < /proc/net/route";
    struct script script = run_script_as(parameters, text);
    CHECK(strncmp(script.out, "1\nlo\n", 5) == 0);
    /* The thread that made it is gone, and this process is where it was. */
    CHECK(access("/proc/self/ns/net", F_OK) == 0);
    close(parameters.confinement.network);
}

static void test_descriptor_that_is_no_namespace(void)
{
    struct drop_recipe_parameters parameters = script_parameters(NULL);
    parameters.confinement.network = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct script script = run_script_as(parameters, "exit 0");
    CHECK_EQUAL(script.result.step, DROP_SPAWN_NETWORK);
    CHECK_EQUAL(script.result.error, EINVAL);
    close(parameters.confinement.network);
}

int main(void)
{
    RUN(test_nothing_is_given_up_unasked);
    RUN(test_limits_and_privileges);
    RUN(test_limit_above_the_hard_one);
    RUN(test_another_user_has_no_capabilities);
    RUN(test_nobody_may_attach_to_a_child_before_it_executes);
    RUN(test_root_without_capabilities);
    RUN(test_private_directories);
    RUN(test_read_only);
    RUN(test_missing_paths_are_named);
    RUN(test_landlock);
    RUN(test_no_network);
    RUN(test_descriptor_that_is_no_namespace);
    return check_summary();
}
