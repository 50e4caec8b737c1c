// Without detection threads that hold what the others want wait for ever; the end of
// thread 0 ends them.
// prints: two in a ring wait, and so does one for itself
// prints: so they do after detection was on for a time
#include "teach.h"

static u32 holding;
static i64 mutexes[3];

static void in_ring(u64 place)
{
    CHECK_EQ(mutex_lock(mutexes[place]), 0);
    ADD(holding, 1);
    AWAIT(LOAD(holding) >= 3);
    CHECK_EQ(mutex_lock(mutexes[1 - place]), 0);
    print("both have both\n");
    exit(1);
}

static void again(u64 unused)
{
    (void)unused;
    CHECK_EQ(mutex_lock(mutexes[2]), 0);
    ADD(holding, 1);
    AWAIT(LOAD(holding) >= 3);
    CHECK_EQ(mutex_lock(mutexes[2]), 0);
    print("it has it twice\n");
    exit(1);
}

/* In a process of its own: its threads never end. */
static void knot(const char *words)
{
    i64 child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (u64 i = 0; i < COUNT(mutexes); i++)
            mutexes[i] = mutex_create(BLOCKING);
        i64 tids[] = {thread_create(in_ring, 0), thread_create(in_ring, 1),
                      thread_create(again, 0)};
        AWAIT(LOAD(holding) == 3);
        sleep(30);
        for (u64 i = 0; i < COUNT(tids); i++)
            CHECK_EQ(waittid_once(tids[i]), -2);
        print("%s\n", words);
        exit(4);
    }
    int code = 0;
    CHECK_EQ(waitpid(child, &code), child);
    CHECK_EQ(code, 4);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    knot("two in a ring wait, and so does one for itself");
    CHECK_EQ(detect_deadlocks(1), 0);
    CHECK_EQ(detect_deadlocks(0), 0);
    knot("so they do after detection was on for a time");
    return 0;
}
