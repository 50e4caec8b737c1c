// Five philosophers, five forks, the lower fork first: all eat, none with a fork
// that another one has.
// prints: meals 30 30 30 30 30
#include "teach.h"

#define SEATS 5
#define MEALS 30

static i64 forks[SEATS];
static u32 in_use[SEATS];
static u64 meals[SEATS];

static void take(u64 fork)
{
    CHECK_EQ(mutex_lock(forks[fork]), 0);
    CHECK_EQ(ADD(in_use[fork], 1), 0);
}

static void put(u64 fork)
{
    CHECK_EQ(ADD(in_use[fork], -1), 1);
    CHECK_EQ(mutex_unlock(forks[fork]), 0);
}

static void philosopher(u64 seat)
{
    u64 left = seat, right = (seat + 1) % SEATS;
    u64 low = left < right ? left : right, high = left + right - low;
    for (u64 meal = 0; meal < MEALS; meal++) {
        take(low);
        take(high);
        meals[seat]++;
        if (meal % 4 == 0)
            yield();
        put(high);
        put(low);
    }
    exit((int)seat);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    i64 tids[SEATS];
    for (u64 i = 0; i < SEATS; i++)
        CHECK((forks[i] = mutex_create(BLOCKING)) >= 0);
    for (u64 i = 0; i < SEATS; i++)
        tids[i] = thread_create(philosopher, i);
    for (u64 i = 0; i < SEATS; i++)
        CHECK_EQ(waittid(tids[i]), i);
    print("meals %lu %lu %lu %lu %lu\n", meals[0], meals[1], meals[2], meals[3], meals[4]);
    return 0;
}
