// Locks used wrongly, at their ends, and by numbers that there are not.
#include "teach.h"

static i64 condition, mutex;
static u32 state;

static void waits_once(u64 unused)
{
    (void)unused;
    CHECK_EQ(mutex_lock(mutex), 0);
    STORE(state, 1);
    CHECK_EQ(cond_wait(condition, mutex), 0);
    STORE(state, 2);
    CHECK_EQ(mutex_unlock(mutex), 0);
    exit(0);
}

static void unlocks(u64 id) { exit((int)mutex_unlock((i64)id) + 50); }

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    for (u64 kind = SPINNING; kind <= BLOCKING; kind++) {
        i64 id = mutex_create(kind);
        print("%s mutex\n", kind == BLOCKING ? "blocking" : "spinning");
        ROW("unlock of a free one", mutex_unlock(id));
        CHECK_EQ(mutex_lock(id), 0);
        CHECK_EQ(mutex_unlock(id), 0);
        ROW("unlock again", mutex_unlock(id));
        // It is no semaphore: what was unlocked twice is taken once.
        CHECK_EQ(mutex_lock(id), 0);
        ROW("unlock by another thread", waittid(thread_create(unlocks, id)) - 50);
        CHECK_EQ(detect_deadlocks(1), 0);
        i64 again = mutex_lock(id);
        CHECK_EQ(detect_deadlocks(0), 0);
        ROW("then lock", again);
        if (again == 0 || again == DEADLOCK)
            CHECK_EQ(mutex_unlock(id), 0);
    }
    print("absent ones\n");
    ROW("lock", mutex_lock(77));
    ROW("lock of -1", mutex_lock(-1));
    ROW("lock of 2^40", mutex_lock(1l << 40));
    ROW("unlock", mutex_unlock(77));
    ROW("up", sem_up(77));
    ROW("up of 2^63", sem_up((i64)(1ul << 63)));
    ROW("down", sem_down(77));
    ROW("down of -1", sem_down(-1));
    ROW("signal", cond_signal(77));
    ROW("signal of -1", cond_signal(-1));
    mutex = mutex_create(BLOCKING), condition = cond_create();
    CHECK_EQ(mutex_lock(mutex), 0);
    ROW("wait for no condition", cond_wait(77, mutex));
    ROW("wait without a mutex", cond_wait(condition, 77));
    CHECK_EQ(mutex_unlock(mutex), 0);

    print("conditions\n");
    ROW("signal without a waiter", cond_signal(condition));
    // It is not kept for who comes later.
    i64 tid = thread_create(waits_once, 0);
    AWAIT(LOAD(state) == 1);
    CHECK_EQ(mutex_lock(mutex), 0);
    CHECK_EQ(mutex_unlock(mutex), 0);
    sleep(20);
    ROW("what it left", waittid_once(tid));
    CHECK_EQ(cond_signal(condition), 0);
    CHECK_EQ(waittid(tid), 0);
    CHECK_EQ(state, 2);

    print("semaphores\n");
    ROW("of less than none", sem_create(-1) < 0 ? -1 : 0);
    i64 full = sem_create(0x7fffffff);
    ROW("of the most units is there", full >= 0);
    ROW("up of a full one", sem_up(full));
    ROW("up again", sem_up(full));
    ROW("down", sem_down(full));
    ROW("up", sem_up(full));
    return 0;
}
