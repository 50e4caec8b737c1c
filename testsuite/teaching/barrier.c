// A barrier of a mutex and a condition variable: nobody is a phase ahead.
// prints: 4 threads met 25 times
#include "teach.h"

#define THREADS 4
#define PHASES 25

static i64 mutex, condition;
static u32 arrived, phase;
/* How many have done their part of each phase. */
static u32 done[PHASES];

static void meet(void)
{
    CHECK_EQ(mutex_lock(mutex), 0);
    u32 mine = phase;
    if (++arrived == THREADS) {
        arrived = 0;
        phase++;
        for (u32 i = 1; i < THREADS; i++)
            CHECK_EQ(cond_signal(condition), 0);
    }
    while (phase == mine)
        CHECK_EQ(cond_wait(condition, mutex), 0);
    CHECK_EQ(mutex_unlock(mutex), 0);
}

static void walker(u64 who)
{
    for (u32 i = 0; i < PHASES; i++) {
        if ((i + who) % 5 == 0)
            yield();
        ADD(done[i], 1);
        meet();
        CHECK_EQ(LOAD(done[i]), THREADS);
    }
    exit((int)who);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    mutex = mutex_create(BLOCKING), condition = cond_create();
    i64 tids[THREADS];
    for (u64 i = 0; i < THREADS; i++)
        tids[i] = thread_create(walker, i);
    for (u64 i = 0; i < THREADS; i++)
        CHECK_EQ(waittid(tids[i]), i);
    print("%d threads met %d times\n", THREADS, PHASES);
    return 0;
}
