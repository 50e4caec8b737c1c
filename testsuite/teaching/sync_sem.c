// A semaphore of no units orders two threads, whichever comes first.
// prints: first, slowly
// prints: then second
// prints: ten rounds, each in order
#include "teach.h"

static i64 done, back;
static u32 step;

static void first(u64 is_slow)
{
    if (is_slow)
        sleep(20);
    print("first, %s\n", is_slow ? "slowly" : "at once");
    CHECK_EQ(sem_up(done), 0);
    exit(0);
}

static void second(u64 unused)
{
    (void)unused;
    CHECK_EQ(sem_down(done), 0);
    print("then second\n");
    exit(0);
}

static void ping(u64 rounds)
{
    for (u32 round = 0; round < rounds; round++) {
        CHECK_EQ(sem_down(back), 0);
        CHECK_EQ(ADD(step, 1), 2 * round + 1);
        CHECK_EQ(sem_up(done), 0);
    }
    exit(0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    done = sem_create(0), back = sem_create(0);
    CHECK(done >= 0 && back >= 0 && done != back);
    i64 waiter = thread_create(second, 0);
    i64 giver = thread_create(first, 1);
    CHECK_EQ(waittid(waiter), 0);
    CHECK_EQ(waittid(giver), 0);

    i64 partner = thread_create(ping, 10);
    for (u32 round = 0; round < 10; round++) {
        CHECK_EQ(ADD(step, 1), 2 * round);
        CHECK_EQ(sem_up(back), 0);
        CHECK_EQ(sem_down(done), 0);
    }
    CHECK_EQ(waittid(partner), 0);
    CHECK_EQ(step, 20);
    print("ten rounds, each in order\n");
    return 0;
}
