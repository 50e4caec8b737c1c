// Locks used wrongly, at their ends, and by numbers that there are not.
// prints: spinning mutex
// prints: unlock of a free one: -1
// prints: unlock again: -1
// prints: unlock by another thread: 0
// prints: then lock: 0
// prints: blocking mutex
// prints: unlock of a free one: -1
// prints: unlock again: -1
// prints: unlock by another thread: 0
// prints: then lock: 0
// prints: absent ones
// prints: lock: -1
// prints: lock of -1: -1
// prints: lock of 2^40: -1
// prints: unlock: -1
// prints: up: -1
// prints: up of 2^63: -1
// prints: down: -1
// prints: down of -1: -1
// prints: signal: -1
// prints: signal of -1: -1
// prints: wait for no condition: -1
// prints: wait without a mutex: -1
// prints: wait with a free mutex: -1
// prints: what ended threads had
// prints: lock of theirs: -57005
// prints: unlock of theirs: 0
// prints: then lock: 0
// prints: conditions
// prints: signal without a waiter: 0
// prints: what it left: -2
// prints: semaphores
// prints: of less than none: -1
// prints: of the most units is there: 1
// prints: up of a full one: -1
// prints: up again: -1
// prints: down: 0
// prints: up: 0
// prints: as many as there may be
// prints: mutexes: 1024
// prints: semaphores: 1024
// prints: conditions: 1024
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

static void locks(u64 id) { exit((int)mutex_lock((i64)id)); }

static void unlocks(u64 id) { exit((int)mutex_unlock((i64)id) + 50); }

/* The first number that is refused: how many there are then. */
static i64 made(i64 kind, u64 argument)
{
    i64 last = -1, number;
    while ((number = call(kind, argument, 0, 0)) >= 0) {
        CHECK(number > last);
        last = number;
    }
    CHECK_EQ(number, -1);
    return last + 1;
}

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
    ROW("wait with a free mutex", cond_wait(condition, mutex));

    print("what ended threads had\n");
    CHECK_EQ(waittid(thread_create(locks, mutex)), 0);
    CHECK_EQ(detect_deadlocks(1), 0);
    ROW("lock of theirs", mutex_lock(mutex));
    CHECK_EQ(detect_deadlocks(0), 0);
    ROW("unlock of theirs", mutex_unlock(mutex));
    ROW("then lock", mutex_lock(mutex));
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

    print("as many as there may be\n");
    ROW("mutexes", made(NR_MUTEX_CREATE, BLOCKING));
    ROW("semaphores", made(NR_SEM_CREATE, 1));
    ROW("conditions", made(NR_COND_CREATE, 0));
    CHECK_EQ(mutex_create(SPINNING), -1);
    return 0;
}
