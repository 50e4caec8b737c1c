// Threads that print in turn, each on its own stack, and their codes.
// prints: thread 0 is main
// prints: thread 1 says a
// prints: thread 2 says b
// prints: thread 3 says c
// prints: thread 1 says a
// prints: thread 2 says b
// prints: thread 3 says c
// prints: thread 1 ended with 11
// prints: thread 2 ended with 12
// prints: thread 3 ended with 13
#include "teach.h"

static u32 turn;
static u64 stacks[4];

static void say(u64 letter)
{
    u64 here;
    u32 me = (u32)gettid();
    stacks[me] = (u64)&here;
    for (u32 round = 0; round < 2; round++) {
        AWAIT(LOAD(turn) == round * 3 + me - 1);
        print("thread %d says %c\n", me, (int)letter);
        ADD(turn, 1);
    }
    exit(10 + (int)me);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    u64 here;
    stacks[0] = (u64)&here;
    print("thread %ld is main\n", gettid());
    i64 tids[3];
    for (u64 i = 0; i < COUNT(tids); i++)
        tids[i] = thread_create(say, 'a' + i);
    // Told when all have ended, as the others may still be talking.
    i64 codes[3];
    for (u64 i = 0; i < COUNT(tids); i++)
        codes[i] = waittid(tids[i]);
    for (u64 i = 0; i < COUNT(tids); i++)
        print("thread %ld ended with %ld\n", tids[i], codes[i]);
    for (u64 i = 0; i < COUNT(stacks); i++)
        for (u64 j = 0; j < i; j++)
            CHECK(stacks[i] / PAGE != stacks[j] / PAGE);
    return 0;
}
