// A dead thread keeps its number and its code until it is waited for; then the lowest
// free number is the next one.
// prints: numbers: 1 2 3
// prints: beside two dead ones: 4
// prints: codes: 71 72
// prints: after waiting: 1, then 2, then 5
// prints: ten thousand beside a dead one: 2 to 2, and its code: 71
#include "teach.h"

static u32 ended, go;

static void ends(u64 code)
{
    ADD(ended, 1);
    exit((int)code);
}

static void until_told(u64 code)
{
    AWAIT(LOAD(go));
    exit((int)code);
}

int main(int argc, const char *const *argv)
{
    (void)argc, (void)argv;
    i64 one = thread_create(ends, 71);
    i64 two = thread_create(ends, 72);
    i64 three = thread_create(until_told, 73);
    print("numbers: %ld %ld %ld\n", one, two, three);
    AWAIT(LOAD(ended) == 2);
    sleep(20);
    i64 four = thread_create(until_told, 74);
    print("beside two dead ones: %ld\n", four);
    i64 code = waittid(one);
    print("codes: %ld %ld\n", code, waittid(two));
    i64 again = thread_create(until_told, 75);
    i64 then = thread_create(until_told, 76);
    i64 fresh = thread_create(until_told, 77);
    print("after waiting: %ld, then %ld, then %ld\n", again, then, fresh);
    STORE(go, 1);
    CHECK_EQ(waittid(three), 73);
    CHECK_EQ(waittid(four), 74);
    CHECK_EQ(waittid(again), 75);
    CHECK_EQ(waittid(then), 76);
    CHECK_EQ(waittid(fresh), 77);
    CHECK_EQ(thread_create(ends, 71), one);
    AWAIT(LOAD(ended) == 3);
    i64 low = 1000, high = 0;
    for (int i = 0; i < 10000; i++) {
        i64 tid = thread_create(ends, i);
        low = tid < low ? tid : low, high = tid > high ? tid : high;
        CHECK_EQ(waittid(tid), i);
    }
    print("ten thousand beside a dead one: %ld to %ld, and its code: %ld\n", low, high, waittid(one));
    return 0;
}
