// A process that is stopped and goes on again, in every kind of waiting: nothing is
// lost, and nothing begins anew. (Only one kernel's kill can name these signals.)
// prints: 25 times: five waited, were stopped twice, and had what they waited for
#include "teach.h"

#define ROUNDS 25
#define CONTINUE 18
#define STOP 19

static i64 blocking, spinning, semaphore, condition, guard;
static u32 there, signalled;

static void locks(u64 mutex)
{
    ADD(there, 1);
    CHECK_EQ(mutex_lock((i64)mutex), 0);
    CHECK_EQ(mutex_unlock((i64)mutex), 0);
    exit(1);
}

static void downs(u64 unused)
{
    (void)unused;
    ADD(there, 1);
    CHECK_EQ(sem_down(semaphore), 0);
    exit(2);
}

static void waits(u64 mutex)
{
    CHECK_EQ(mutex_lock((i64)mutex), 0);
    ADD(there, 1);
    while (!signalled)
        CHECK_EQ(cond_wait(condition, (i64)mutex), 0);
    CHECK_EQ(mutex_unlock((i64)mutex), 0);
    exit(3);
}

static void sleeps(u64 ms)
{
    ADD(there, 1);
    i64 before = get_time();
    sleep(ms);
    CHECK(get_time() >= before + (i64)ms - 2);
    exit(4);
}

/* All kinds of waiting in one process, until a byte comes. */
static void sleepers(i64 gate)
{
    char byte;
    blocking = mutex_create(BLOCKING), spinning = mutex_create(SPINNING);
    semaphore = sem_create(0), condition = cond_create(), guard = mutex_create(BLOCKING);
    CHECK_EQ(mutex_lock(blocking), 0);
    CHECK_EQ(mutex_lock(spinning), 0);
    i64 tids[] = {thread_create(locks, blocking), thread_create(locks, spinning),
                  thread_create(downs, 0), thread_create(waits, guard),
                  thread_create(sleeps, 30)};
    static const int codes[] = {1, 1, 2, 3, 4};
    AWAIT(LOAD(there) == COUNT(tids));
    CHECK_EQ(read(gate, &byte, 1), 1);
    CHECK_EQ(mutex_unlock(blocking), 0);
    CHECK_EQ(mutex_unlock(spinning), 0);
    CHECK_EQ(sem_up(semaphore), 0);
    CHECK_EQ(mutex_lock(guard), 0);
    signalled = 1;
    CHECK_EQ(cond_signal(condition), 0);
    CHECK_EQ(mutex_unlock(guard), 0);
    for (u64 i = 0; i < COUNT(tids); i++)
        CHECK_EQ(waittid(tids[i]), codes[i]);
    exit(61);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    for (u64 round = 0; round < ROUNDS; round++) {
        u64 ends[2];
        CHECK_EQ(pipe(ends), 0);
        i64 child = fork();
        CHECK(child >= 0);
        if (child == 0)
            sleepers((i64)ends[0]);
        // At another moment each time.
        sleep(round % 7);
        for (int twice = 0; twice < 2; twice++) {
            CHECK_EQ(kill(child, STOP), 0);
            sleep(round % 3);
            CHECK_EQ(kill(child, CONTINUE), 0);
        }
        CHECK_EQ(write((i64)ends[1], "g", 1), 1);
        int code = 0;
        CHECK_EQ(waitpid(child, &code), child);
        CHECK_EQ(code, 61);
        CHECK(close((i64)ends[0]) == 0 && close((i64)ends[1]) == 0);
    }
    print("%d times: five waited, were stopped twice, and had what they waited for\n", ROUNDS);
    return 0;
}
