// A thousand threads at once, each on a stack of its own, and again in their places.
// prints: 1000 at once, numbers 1 to 1000, sum of codes 499500
// prints: 1000 more in their places
#include "teach.h"

#define THREADS 1000

static i64 tids[THREADS];
static u32 there;
static i64 gate;

static void stands(u64 who)
{
    // Somewhere on the stack, looked at again when all are there.
    volatile u64 mine[64];
    for (u64 i = 0; i < COUNT(mine); i++)
        mine[i] = who + i;
    ADD(there, 1);
    CHECK_EQ(sem_down(gate), 0);
    for (u64 i = 0; i < COUNT(mine); i++)
        CHECK_EQ(mine[i], who + i);
    exit((int)who);
}

static void ends(u64 code) { exit((int)code); }

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    gate = sem_create(0);
    i64 low = THREADS, high = 0, sum = 0;
    for (u64 i = 0; i < THREADS; i++) {
        tids[i] = thread_create(stands, i);
        CHECK(tids[i] > 0);
        low = tids[i] < low ? tids[i] : low;
        high = tids[i] > high ? tids[i] : high;
    }
    while (LOAD(there) != THREADS)
        sleep(1);
    for (u64 i = 0; i < THREADS; i++)
        CHECK_EQ(sem_up(gate), 0);
    for (u64 i = 0; i < THREADS; i++)
        sum += waittid(tids[i]);
    print("%d at once, numbers %ld to %ld, sum of codes %ld\n", THREADS, low, high, sum);
    for (u64 i = 0; i < THREADS; i++) {
        tids[i] = thread_create(ends, i);
        CHECK(tids[i] >= low && tids[i] <= high);
    }
    for (u64 i = 0; i < THREADS; i++)
        CHECK_EQ(waittid(tids[i]), i);
    print("%d more in their places\n", THREADS);
    return 0;
}
