// Adders with a blocking mutex.
// prints: sum 1600
#include "adders.h"

static i64 mutex;

static void add_one(u64 who, u64 round)
{
    (void)who;
    CHECK_EQ(mutex_lock(mutex), 0);
    add_slowly(round);
    CHECK_EQ(mutex_unlock(mutex), 0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    mutex = mutex_create(BLOCKING);
    CHECK(mutex >= 0);
    run_adders();
    print("sum %lu\n", sum);
    return 0;
}
