// The others end first: their ends do not end the process, and their codes wait.
// prints: five ended while thread 0 went on
// prints: codes 21 22 23 24 25
// exit: 3
#include "teach.h"

static u32 ending;

static void ends(u64 code)
{
    ADD(ending, 1);
    exit((int)code);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    i64 tids[5], codes[5];
    for (u64 i = 0; i < COUNT(tids); i++)
        tids[i] = thread_create(ends, 21 + i);
    AWAIT(LOAD(ending) == COUNT(tids));
    sleep(10);
    print("five ended while thread 0 went on\n");
    // The last one first: the order of waiting is free.
    for (u64 i = COUNT(tids); i-- > 0;)
        codes[i] = waittid(tids[i]);
    print("codes %ld %ld %ld %ld %ld\n", codes[0], codes[1], codes[2], codes[3], codes[4]);
    return 3;
}
