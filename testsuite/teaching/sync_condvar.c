// A condition variable: who waits gives the mutex back, has it again afterwards,
// and one signal wakes one.
// prints: the condition was set under the mutex
// prints: four waiters, four signals
#include "teach.h"

#define WAITERS 4

static i64 mutex, condition;
static u32 is_set, waiting, tickets, woken;
static volatile u32 inside;

static void waiter(u64 unused)
{
    (void)unused;
    CHECK_EQ(mutex_lock(mutex), 0);
    while (!is_set)
        CHECK_EQ(cond_wait(condition, mutex), 0);
    print("the condition was set under the mutex\n");
    CHECK_EQ(mutex_unlock(mutex), 0);
    exit(0);
}

static void ticket_taker(u64 unused)
{
    (void)unused;
    CHECK_EQ(mutex_lock(mutex), 0);
    waiting++;
    while (tickets == 0)
        CHECK_EQ(cond_wait(condition, mutex), 0);
    tickets--;
    woken++;
    // Nobody else is between lock and unlock.
    CHECK_EQ(inside, 0);
    inside = 1;
    yield();
    inside = 0;
    CHECK_EQ(mutex_unlock(mutex), 0);
    exit(0);
}

/* Reads a number that the mutex guards. */
static u32 under_mutex(const u32 *number)
{
    CHECK_EQ(mutex_lock(mutex), 0);
    u32 value = *number;
    CHECK_EQ(mutex_unlock(mutex), 0);
    return value;
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    mutex = mutex_create(BLOCKING), condition = cond_create();
    CHECK(mutex >= 0 && condition >= 0);
    i64 tid = thread_create(waiter, 0);
    sleep(10);
    CHECK_EQ(mutex_lock(mutex), 0);
    is_set = 1;
    CHECK_EQ(cond_signal(condition), 0);
    CHECK_EQ(mutex_unlock(mutex), 0);
    CHECK_EQ(waittid(tid), 0);

    i64 tids[WAITERS];
    for (u32 i = 0; i < WAITERS; i++)
        tids[i] = thread_create(ticket_taker, 0);
    // Who has counted itself gives the mutex up only by waiting.
    AWAIT(under_mutex(&waiting) == WAITERS);
    for (u32 i = 0; i < WAITERS; i++) {
        CHECK_EQ(mutex_lock(mutex), 0);
        tickets++;
        CHECK_EQ(cond_signal(condition), 0);
        CHECK_EQ(mutex_unlock(mutex), 0);
        AWAIT(under_mutex(&woken) == i + 1);
    }
    for (u32 i = 0; i < WAITERS; i++)
        CHECK_EQ(waittid(tids[i]), 0);
    print("four waiters, four signals\n");
    return 0;
}
