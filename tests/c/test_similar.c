/* The text of no_pool: the nearest names, never more than the caller has room for. */
#define _GNU_SOURCE
#include "world.h"

#include "check.h"
#include "similar.h"

static struct world world;

static void check_text(const char *name, size_t size, const char *expected)
{
    char *text = malloc(size); /* of exactly this size, so that writing behind it is seen */
    REQUIRE(text);
    drop_similar_names(world.reactor, name, strlen(name), text, size);
    CHECK_EQUAL(strcmp(text, expected), 0);
    free(text);
}

static void set_up(void)
{
    struct drop_reactor_options options = world_options();
    world_open(&world, &options);
}

static void tear_down(void)
{
    CHECK_EQUAL(world_close(&world), 0);
}

static void test_nothing_near(void)
{
    set_up();
    check_text("echo", 512,
               "there is no pool echo on this node; `drop top --once` lists the pools it has");
    world_pool(&world, "unlike", DROP_KIND_LINE);
    world_pool(&world, "$control", DROP_KIND_CONTROL);
    check_text("control", 512,
               "there is no pool control on this node; `drop top --once` lists the pools it has");
    tear_down();
}

static void test_nearest_first(void)
{
    set_up();
    world_pool(&world, "each", DROP_KIND_LINE);
    world_pool(&world, "etcho", DROP_KIND_LINE);
    world_pool(&world, "far/away", DROP_KIND_LINE);
    world_pool(&world, "ech", DROP_KIND_LINE);
    world_pool(&world, "ecko", DROP_KIND_LINE);
    check_text("echo", 512,
               "there is no pool echo on this node; similar names: etcho, ech, ecko");
    tear_down();
}

static void test_longest_names(void)
{
    char name[DROP_NAME_MAX + 1], text[512];
    set_up();
    memset(name, 'n', DROP_NAME_MAX);
    name[DROP_NAME_MAX] = '\0';
    for (char last = 'a'; last < 'e'; last++) {
        name[DROP_NAME_MAX - 1] = last;
        world_pool(&world, name, DROP_KIND_LINE);
    }
    name[DROP_NAME_MAX - 1] = 'z';
    drop_similar_names(world.reactor, name, DROP_NAME_MAX, text, sizeof text);
    CHECK_EQUAL(strlen(text), sizeof text - 1);
    tear_down();
}

int main(void)
{
    RUN(test_nothing_near);
    RUN(test_nearest_first);
    RUN(test_longest_names);
    return check_summary();
}
