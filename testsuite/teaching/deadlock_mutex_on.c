// Deadlock detection for mutexes: what would close a ring is refused, once, without
// waiting; what merely has to wait waits.
// prints: again by its owner: refused
// prints: two in a ring: 1 refused
// prints: five in a ring: 1 refused
// prints: of a busy owner: waited
// prints: after it was switched off and on: refused
// prints: switched to what is neither: -1
#include "teach.h"

#define MOST 5

static i64 mutexes[MOST];
static u32 size, holding, refused, asked;

static const char *name_of(i64 answer)
{
    return answer == DEADLOCK ? "refused" : answer == 0 ? "waited" : "something else";
}

/* Takes its own, and when all have theirs the next one's. */
static void in_ring(u64 place)
{
    CHECK_EQ(mutex_lock(mutexes[place]), 0);
    ADD(holding, 1);
    AWAIT(LOAD(holding) == size);
    i64 next = mutexes[(place + 1) % size];
    i64 answer = mutex_lock(next);
    if (answer == DEADLOCK)
        ADD(refused, 1);
    else
        CHECK_EQ(answer, 0);
    if (answer == 0)
        CHECK_EQ(mutex_unlock(next), 0);
    CHECK_EQ(mutex_unlock(mutexes[place]), 0);
    exit((int)place);
}

static void ring_of(u32 threads, const char *words)
{
    i64 tids[MOST];
    size = threads, holding = 0, refused = 0;
    for (u64 i = 0; i < threads; i++)
        tids[i] = thread_create(in_ring, i);
    for (u64 i = 0; i < threads; i++)
        CHECK_EQ(waittid(tids[i]), i);
    print("%s in a ring: %u refused\n", words, refused);
}

static void asks(u64 unused)
{
    (void)unused;
    STORE(asked, 1);
    print("of a busy owner: %s\n", name_of(mutex_lock(mutexes[0])));
    CHECK_EQ(mutex_unlock(mutexes[0]), 0);
    exit(0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    CHECK_EQ(detect_deadlocks(1), 0);
    for (u64 i = 0; i < MOST; i++)
        CHECK((mutexes[i] = mutex_create(BLOCKING)) >= 0);

    CHECK_EQ(mutex_lock(mutexes[0]), 0);
    print("again by its owner: %s\n", name_of(mutex_lock(mutexes[0])));
    CHECK_EQ(mutex_unlock(mutexes[0]), 0);

    ring_of(2, "two");
    ring_of(5, "five");

    CHECK_EQ(mutex_lock(mutexes[0]), 0);
    i64 tid = thread_create(asks, 0);
    AWAIT(LOAD(asked));
    sleep(20);
    CHECK_EQ(waittid_once(tid), -2);
    CHECK_EQ(mutex_unlock(mutexes[0]), 0);
    CHECK_EQ(waittid(tid), 0);

    // What was taken while nobody looked counts, too.
    CHECK_EQ(detect_deadlocks(0), 0);
    CHECK_EQ(mutex_lock(mutexes[1]), 0);
    CHECK_EQ(detect_deadlocks(1), 0);
    print("after it was switched off and on: %s\n", name_of(mutex_lock(mutexes[1])));
    CHECK_EQ(mutex_unlock(mutexes[1]), 0);
    print("switched to what is neither: %ld\n", detect_deadlocks(2));
    return 0;
}
