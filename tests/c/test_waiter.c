/* Lines of waiters: order, leaving from anywhere, and joining again while the line is served. */
#define _GNU_SOURCE
#include "check.h"
#include "waiter.h"

enum { WAITERS = 4 };

static struct drop_waitlist list;
static struct drop_waiter all[WAITERS];
static char order[32];
static size_t room;
static bool joins_again;

static void resume(struct drop_reactor *reactor, struct drop_waiter *waiter)
{
    (void)reactor;
    order[strlen(order)] = (char)('a' + (waiter - all));
    room--;
    if (joins_again)
        drop_waiter_join(waiter, &list);
}

static bool has_room(const void *owner)
{
    return *(const size_t *)owner > 0;
}

static void set_up(size_t room_at_first, bool again)
{
    memset(&list, 0, sizeof list);
    memset(order, 0, sizeof order);
    room = room_at_first;
    joins_again = again;
    for (int i = 0; i < WAITERS; i++) {
        all[i] = (struct drop_waiter){.resume = resume};
        drop_waiter_join(&all[i], &list);
    }
}

static void test_in_order_while_there_is_room(void)
{
    set_up(2, false);
    drop_waitlist_serve(NULL, &list, has_room, &room);
    CHECK(strcmp(order, "ab") == 0);
    CHECK_EQUAL(list.count, 2);
    CHECK(!drop_waiter_waits(&all[0]) && drop_waiter_waits(&all[2]));
    drop_waitlist_serve(NULL, &list, NULL, NULL);
    CHECK(strcmp(order, "abcd") == 0);
    CHECK(list.first == NULL && list.last == NULL && list.count == 0);
}

static void test_each_has_one_turn(void)
{
    set_up(100, true);
    drop_waitlist_serve(NULL, &list, has_room, &room);
    CHECK(strcmp(order, "abcd") == 0);
    CHECK_EQUAL(list.count, WAITERS);
    CHECK(list.first == &all[0] && list.last == &all[3]);
}

static void test_leaving(void)
{
    set_up(100, false);
    drop_waiter_leave(&all[1]);
    drop_waiter_leave(&all[3]);
    drop_waiter_leave(&all[3]);
    CHECK_EQUAL(list.count, 2);
    drop_waiter_join(&all[1], &list);
    drop_waiter_leave(&all[0]);
    drop_waitlist_serve(NULL, &list, has_room, &room);
    CHECK(strcmp(order, "cb") == 0);
}

int main(void)
{
    RUN(test_in_order_while_there_is_room);
    RUN(test_each_has_one_turn);
    RUN(test_leaving);
    return check_summary();
}
