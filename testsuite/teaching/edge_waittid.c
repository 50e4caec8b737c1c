// What waittid answers.
// prints: self: -1
// prints: self, from another thread: -1
// prints: absent: -1
// prints: negative: -1
// prints: most negative: -1
// prints: huge: -1
// prints: huger than 32 bits: -1
// prints: a live thread's number and 2^32: -1
// prints: live: -2
// prints: main, from another thread: -2
// prints: dead: 42
// prints: dead, again: -1
// prints: two joiners, one code: 30 codes, 30 times absent
#include "teach.h"

#define ROUNDS 30

static u32 go;
static i64 target;
static u32 codes, absent;

static void until_told(u64 code)
{
    AWAIT(LOAD(go));
    exit((int)code);
}

static void asks_about_itself(u64 unused)
{
    (void)unused;
    ROW("self, from another thread", waittid_once(gettid()));
    exit(0);
}

static void asks_about_main(u64 unused)
{
    (void)unused;
    ROW("main, from another thread", waittid_once(0));
    exit(0);
}

static void joiner(u64 expected)
{
    i64 code = waittid(target);
    if (code == (i64)expected)
        ADD(codes, 1);
    else if (code == -1)
        ADD(absent, 1);
    exit(0);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    ROW("self", waittid_once(gettid()));
    CHECK_EQ(waittid(thread_create(asks_about_itself, 0)), 0);
    ROW("absent", waittid_once(7));
    ROW("negative", waittid_once(-3));
    ROW("most negative", waittid_once((i64)(1ul << 63)));
    ROW("huge", waittid_once(0x7fffffff));
    ROW("huger than 32 bits", waittid_once(1l << 40));
    i64 tid = thread_create(until_told, 42);
    ROW("a live thread's number and 2^32", waittid_once(tid + (1l << 32)));
    ROW("live", waittid_once(tid));
    CHECK_EQ(waittid(thread_create(asks_about_main, 0)), 0);
    STORE(go, 1);
    ROW("dead", waittid(tid));
    ROW("dead, again", waittid_once(tid));

    for (u64 round = 0; round < ROUNDS; round++) {
        STORE(go, 0);
        // With joiners that find the thread alive, and with some that find it dead.
        target = thread_create(until_told, 100 + round);
        if (round % 2)
            STORE(go, 1);
        i64 one = thread_create(joiner, 100 + round);
        i64 other = thread_create(joiner, 100 + round);
        STORE(go, 1);
        CHECK_EQ(waittid(one), 0);
        CHECK_EQ(waittid(other), 0);
    }
    print("two joiners, one code: %u codes, %u times absent\n", codes, absent);
    return 0;
}
