// Thread 0 ends while others compute, sleep and wait for ever: the process ends with
// its code, and they say nothing any more.
// prints: three others are busy
// exit: 7
#include "teach.h"

static i64 never;
static u32 busy;

static void computes(u64 unused)
{
    (void)unused;
    ADD(busy, 1);
    for (volatile u64 i = 0;; i++)
        ;
}

static void sleeps(u64 unused)
{
    (void)unused;
    ADD(busy, 1);
    sleep(3600 * 1000);
    print("slept an hour\n");
    exit(1);
}

static void waits(u64 unused)
{
    (void)unused;
    ADD(busy, 1);
    sem_down(never);
    print("had a unit that nobody gave\n");
    exit(1);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    never = sem_create(0);
    CHECK(thread_create(computes, 0) > 0);
    CHECK(thread_create(sleeps, 0) > 0);
    CHECK(thread_create(waits, 0) > 0);
    AWAIT(LOAD(busy) == 3);
    print("three others are busy\n");
    exit(7);
}
